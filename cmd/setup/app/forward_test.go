package app

import (
	"bytes"
	"os"
	"slices"
	"strings"
	"testing"
)

// A service that the emulator cannot forward is refused before anything is done, and an
// empty one forgets all.
func TestUpForward(t *testing.T) {
	for forward, want := range map[string]string{
		"dynamo=http://h": `--forward: forwarding "dynamo": no service has that name; there are dynamodb`,
		"sqs":             "is not of the form SERVICE=URL",
	} {
		var out, errs bytes.Buffer
		if status := call(t.Context(), []string{"setup", "up", "--emulator", "--forward", forward}, os.Getenv, &out, &errs); status != 2 ||
			!strings.Contains(errs.String(), want) {
			t.Errorf("%s: status %d, %s", forward, status, errs.String())
		}
	}
	for _, test := range []struct{ given, want []string }{
		{nil, nil}, {[]string{""}, []string{}}, {[]string{"sqs=http://h"}, []string{"sqs=http://h"}},
	} {
		o := upOptions{forward: test.given}
		if got := o.options().Forward; !slices.Equal(got, test.want) || (got == nil) != (test.want == nil) {
			t.Errorf("%q is %q", test.given, got)
		}
	}
}
