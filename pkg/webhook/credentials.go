package webhook

import (
	"bytes"
	"encoding/json"
	"fmt"
)

// CredentialsList are the service accounts that get container credentials.
// The zero value is empty.
type CredentialsList struct{ all map[[2]string]bool }

// Has reports whether a service account is on the list.
func (l CredentialsList) Has(namespace, serviceAccount string) bool {
	return l.all[[2]string{namespace, serviceAccount}]
}

// in are the service accounts of a namespace that are on the list.
func (l CredentialsList) in(namespace string) (names []string) {
	for key := range l.all {
		if key[0] == namespace {
			names = append(names, key[1])
		}
	}
	return names
}

// ParseCredentialsList reads the JSON {"identities": [{"namespace",
// "serviceAccount"}]}. No text at all is an empty list.
func ParseCredentialsList(text []byte) (CredentialsList, error) {
	if len(bytes.TrimSpace(text)) == 0 {
		return CredentialsList{}, nil
	}
	var file struct {
		Identities []struct{ Namespace, ServiceAccount string }
	}
	if err := json.Unmarshal(text, &file); err != nil {
		return CredentialsList{}, fmt.Errorf("reading the list of container credentials: %w", err)
	}
	l := CredentialsList{all: map[[2]string]bool{}}
	for _, id := range file.Identities {
		l.all[[2]string{id.Namespace, id.ServiceAccount}] = true
	}
	return l, nil
}
