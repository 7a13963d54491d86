package awsapi

import "sync"

// Forget has the tables read anew.
func Forget() { tables = sync.OnceValue(readIndex) }
