package chain

import (
	"encoding/pem"
	"net/http"
	"os"
	"path/filepath"
	"testing"

	"github.com/openirsa/openirsa/pkg/account"
	"github.com/openirsa/openirsa/pkg/emulator"
	"github.com/openirsa/openirsa/pkg/emulator/emulatortest"
)

// The account of a dry run is an emulator in this process, also for users whose
// AWS is behind a CA of their own.
func TestInProcess(t *testing.T) {
	server, err := emulator.New(emulator.Config{Account: "123456789012"})
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv("AWS_CA_BUNDLE", "testdata/no-such-file.pem")
	options := account.Options{Endpoint: "http://127.0.0.1", HTTPClient: &http.Client{Transport: inProcess{server}}}
	if _, err := account.Connect(t.Context(), options); err == nil {
		t.Error("a CA bundle that is not there is nothing to be silent about")
	}
	bundle := filepath.Join(t.TempDir(), "ca.pem")
	secure := emulatortest.StartTLS(t)
	if err := os.WriteFile(bundle, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: secure.CA.Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("AWS_CA_BUNDLE", bundle)
	acct, err := account.Connect(t.Context(), options)
	if err != nil {
		t.Fatal(err)
	}
	if acct.ID != "123456789012" {
		t.Errorf("account %s", acct.ID)
	}
}
