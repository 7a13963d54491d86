package e2e

import (
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sivchari/kumo"

	"github.com/openirsa/openirsa/pkg/emulator/emulatortest"
)

// backend serves another emulator of AWS, kumo, until the test ends, and returns its URL as pods of the cluster have it.
func (k *kube) backend(t testing.TB) string {
	t.Helper()
	server := kumo.NewServer()
	t.Cleanup(server.Close)
	target, err := url.Parse(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	// The address of this machine by which it reaches the node's network. Nothing is sent to find that out.
	gateway := strings.Fields(k.node(t, "ip -4 route show default"))[2]
	route, err := net.Dial("udp4", net.JoinHostPort(gateway, "9"))
	if err != nil {
		t.Fatal(err)
	}
	defer route.Close()
	here, _, err := net.SplitHostPort(route.LocalAddr().String())
	if err != nil {
		t.Fatal(err)
	}
	ln, err := net.Listen("tcp", net.JoinHostPort(here, "0"))
	if err != nil {
		t.Fatal(err)
	}
	// kumo itself listens on the loopback address.
	outside := &httptest.Server{Listener: ln, Config: &http.Server{Handler: httputil.NewSingleHostReverseProxy(target)}}
	outside.Start()
	t.Cleanup(outside.Close)
	return outside.URL
}

// guardedPods: pods work with services of another emulator behind the guard, with their own service accounts' identity:
// one has exactly the permissions for it, and one lacks an action.
func guardedPods(t *testing.T, k *kube, ns string) {
	const table = "arn:aws:dynamodb:us-east-1:" + account + ":table/Cart"
	const queue = "arn:aws:sqs:us-east-1:" + account + ":mail"
	workload := []map[string]any{
		{"Effect": "Allow", "Action": []string{"dynamodb:CreateTable", "dynamodb:PutItem", "dynamodb:GetItem"}, "Resource": table},
		{"Effect": "Allow", "Action": []string{"sqs:CreateQueue", "sqs:GetQueueUrl", "sqs:SendMessage"}, "Resource": queue},
	}
	for name, statements := range map[string][]map[string]any{"worker": workload, "idler": {
		{"Effect": "Allow", "Action": "dynamodb:PutItem", "Resource": table}, {"Effect": "Allow", "Action": "sqs:GetQueueUrl", "Resource": queue}}} {
		file := filepath.Join(t.TempDir(), name+".json")
		if err := os.WriteFile(file, []byte(emulatortest.Document(statements...)), 0o600); err != nil {
			t.Fatal(err)
		}
		k.setup(t, "iamserviceaccount", "create", "--namespace", ns, "--name", name, "--inline-policy-file", file, "--approve").ok(t)
	}
	script := func(sa, name, text string) result {
		t.Helper()
		return k.run(t, podSpec{namespace: ns, name: sa + "-" + name, serviceAccount: sa, image: awscli, args: []string{"bash", "-euc", text}})
	}
	r := script("worker", "work", `
aws dynamodb create-table --table-name Cart --billing-mode PAY_PER_REQUEST --key-schema AttributeName=id,KeyType=HASH \
	--attribute-definitions AttributeName=id,AttributeType=S >/dev/null
aws dynamodb put-item --table-name Cart --item '{"id":{"S":"7"},"word":{"S":"open"}}'
aws dynamodb get-item --table-name Cart --key '{"id":{"S":"7"}}' --query Item.word.S --output text
aws sqs create-queue --queue-name mail >/dev/null
url=$(aws sqs get-queue-url --queue-name mail --query QueueUrl --output text)
aws sqs send-message --queue-url "$url" --message-body hello --query MessageId --output text`)
	if r.code != 0 || !strings.Contains(r.stdout, "open\n") {
		t.Errorf("the workload: exit %d: %s%s", r.code, r.stdout, r.stderr)
	}
	r = script("idler", "read", `aws dynamodb get-item --table-name Cart --key '{"id":{"S":"7"}}'`)
	if r.code == 0 || !strings.Contains(r.stdout+r.stderr, "(AccessDeniedException)") || !strings.Contains(r.stdout+r.stderr, "dynamodb:GetItem") {
		t.Errorf("without dynamodb:GetItem: exit %d: %s%s", r.code, r.stdout, r.stderr)
	}
	r = script("idler", "send", `aws sqs send-message --queue-url "$(aws sqs get-queue-url --queue-name mail --query QueueUrl --output text)" --message-body hello`)
	if r.code == 0 || !strings.Contains(r.stdout+r.stderr, "(AccessDenied)") {
		t.Errorf("without sqs:SendMessage: exit %d: %s%s", r.code, r.stdout, r.stderr)
	}
}
