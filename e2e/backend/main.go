// Backend is kumo, an emulator of AWS, on port 8000 of all addresses: it stands for the emulators whose images no registry
// gives the clusters of these tests.
package main

import (
	"fmt"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"

	"github.com/sivchari/kumo"
)

func main() {
	// kumo itself listens on the loopback address.
	server := kumo.NewServer()
	target, err := url.Parse(server.URL)
	if err == nil {
		err = http.ListenAndServe(":8000", httputil.NewSingleHostReverseProxy(target))
	}
	fmt.Fprintf(os.Stderr, "backend: %v\n", err)
	os.Exit(1)
}
