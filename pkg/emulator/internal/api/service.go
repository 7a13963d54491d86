package api

import "net/http"

// Service is a service of AWS, or several that share a protocol.
type Service interface {
	// Names are the services, as signatures name them, such as "kms".
	Names() []string
	// Load reads the state from the store: at the start, and again after the
	// store refused a write, while there is no call.
	Load() error
	// Take returns what answers a request that is one to the service, or nil. It
	// may tell by the host, the path, the headers (X-Amz-Target, Smithy-Protocol),
	// the signature and the parameters of a form; it names the service, and the
	// operation if the request says it there, in the call.
	Take(c *Call) Answer
}

// Answer answers the request of a call, unless the call is dropped.
type Answer func(w http.ResponseWriter)
