package agent

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"time"
)

// probeTime is how long the agent may take to answer a probe.
const probeTime = 10 * time.Second

// Probe is the handler of /healthz and /readyz. It calls the agent at each of its
// addresses, given as HOST:PORT, as pods do, and is content with the answer to a wrong
// path.
func Probe(addresses []string, log *slog.Logger) http.Handler {
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}} // without a proxy
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ctx, cancel := context.WithTimeout(r.Context(), probeTime)
		defer cancel()
		for _, address := range addresses {
			switch err := probe(ctx, client, address); {
			case errors.Is(err, context.DeadlineExceeded):
				log.Warn("the agent does not answer", "address", address, "error", err)
				w.WriteHeader(http.StatusRequestTimeout)
				return
			case err != nil:
				log.Warn("the agent does not answer", "address", address, "error", err)
				w.WriteHeader(http.StatusInternalServerError)
				io.WriteString(w, "Internal Server Error occurred")
				return
			}
		}
	})
}

func probe(ctx context.Context, client *http.Client, address string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+address+"/", nil)
	if err != nil {
		return err
	}
	res, err := client.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusNotFound {
		return fmt.Errorf("its status is %d, want %d", res.StatusCode, http.StatusNotFound)
	}
	return nil
}
