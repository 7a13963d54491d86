package kubetest

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
)

// Etcd is the URL of a cluster's etcd, whose JSON gateway is all that is needed here: the keys of Kubernetes are read,
// and written back, all at once.
type Etcd string

// Registry is the prefix of all keys of a Kubernetes cluster.
const Registry = "/registry/"

// fleeting are keys that change by themselves.
var fleeting = []string{"events/", "leases/", "masterleases/"}

func isFleeting(key string) bool {
	for _, prefix := range fleeting {
		if strings.HasPrefix(key, Registry+prefix) {
			return true
		}
	}
	return false
}

// keyValue is a key with its value; JSON has both in base64, as the gateway does.
type keyValue struct {
	Key   []byte `json:"key"`
	Value []byte `json:"value,omitempty"`
}

// Dump reads all keys at one revision.
func (e Etcd) Dump(ctx context.Context) (map[string][]byte, error) {
	var answer struct {
		KVs []keyValue `json:"kvs"`
	}
	end := strings.TrimSuffix(Registry, "/") + "0" // the key after all those with the prefix
	if err := e.post(ctx, "/v3/kv/range", map[string]any{"key": []byte(Registry), "range_end": []byte(end)}, &answer); err != nil {
		return nil, err
	}
	all := make(map[string][]byte, len(answer.KVs))
	for _, kv := range answer.KVs {
		if key := string(kv.Key); !isFleeting(key) {
			all[key] = kv.Value
		}
	}
	return all, nil
}

// Restore makes the keys what they were, in one transaction: whoever watches them sees objects change and go.
func (e Etcd) Restore(ctx context.Context, want map[string][]byte) error {
	have, err := e.Dump(ctx)
	if err != nil {
		return err
	}
	var ops []any
	for key, value := range want {
		if was, ok := have[key]; !ok || !bytes.Equal(was, value) {
			ops = append(ops, map[string]any{"request_put": keyValue{[]byte(key), value}})
		}
	}
	for key := range have {
		if _, ok := want[key]; !ok {
			ops = append(ops, map[string]any{"request_delete_range": keyValue{Key: []byte(key)}})
		}
	}
	if len(ops) == 0 {
		return nil
	}
	return e.post(ctx, "/v3/kv/txn", map[string]any{"success": ops}, &struct{}{})
}

func (e Etcd) post(ctx context.Context, path string, body, answer any) error {
	b, err := json.Marshal(body)
	if err != nil {
		return err
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, string(e)+path, bytes.NewReader(b))
	if err != nil {
		return err
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		return fmt.Errorf("asking etcd: %w", err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s", resp.Status, text)
	}
	if err == nil {
		err = json.Unmarshal(text, answer)
	}
	if err != nil {
		return fmt.Errorf("asking etcd for %s: %w", path, err)
	}
	return nil
}
