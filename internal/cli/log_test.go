package cli_test

import (
	"bytes"
	"encoding/json"
	"log/slog"
	"strings"
	"testing"

	"github.com/spf13/pflag"

	"github.com/openirsa/openirsa/internal/cli"
)

// aToken has the form of a secret.
var aToken = "eyJhbGciOiJSUzI1NiJ9." + strings.Repeat("eyJzdWIiOiJhIn0", 4) + ".c2ln"

func TestLog(t *testing.T) {
	for _, c := range []struct {
		args        []string
		debug, warn bool   // what is shown
		json        bool   // in which form
		err         string // of usage
	}{
		{nil, false, true, false, ""},
		{[]string{"--log-format=json"}, false, true, true, ""},
		{[]string{"--log-level=debug", "--log-format=text"}, true, true, false, ""},
		{[]string{"--log-level=error", "--log-format=json"}, false, false, true, ""},
		{[]string{"--log-format=yaml"}, false, false, false, `--log-format "yaml" is neither text nor json`},
		{[]string{"--log-level=loud"}, false, false, false, `--log-level "loud" is not debug, info, warn or error`},
	} {
		var l cli.Log
		flags := pflag.NewFlagSet("", pflag.ContinueOnError)
		l.Flags(flags, "what to log")
		if err := flags.Parse(c.args); err != nil {
			t.Fatal(err)
		}
		var out bytes.Buffer
		log, err := l.Open(&out)
		if c.err != "" {
			if err == nil || err.Error() != c.err || !cli.IsUsage(err) || log != nil {
				t.Errorf("%q: %v", c.args, err)
			}
			continue
		}
		if err != nil {
			t.Errorf("%q: %v", c.args, err)
			continue
		}
		log.Debug("a detail")
		log.Warn("a token "+aToken, "token", aToken, slog.Group("in", "token", aToken))
		if strings.Contains(out.String(), aToken[10:40]) {
			t.Errorf("%q: the log shows a secret: %s", c.args, &out)
		}
		if strings.Contains(out.String(), "a detail") != c.debug || strings.Contains(out.String(), "a token [token]") != c.warn {
			t.Errorf("%q: %s", c.args, &out)
		}
		for line := range strings.Lines(out.String()) {
			var object struct{ Time, Level, Msg string }
			if err := json.Unmarshal([]byte(line), &object); (err == nil && object.Msg != "" && object.Level != "") != c.json {
				t.Errorf("%q: %s", c.args, line)
			}
		}
	}
}
