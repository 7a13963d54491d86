package shell_test

import (
	"os/exec"
	"strings"
	"testing"

	"github.com/openirsa/openirsa/internal/shell"
)

func TestQuote(t *testing.T) {
	words := []string{"plain", "--flag=a,b@c:d", "two words", "it's", `$HOME "and" \n`, "*", "", "a\nb", "; false", "~", "#no", "ä"}
	b, err := exec.CommandContext(t.Context(), "sh", "-c", `printf '%s\0' `+shell.Words(words...)).Output()
	if err != nil {
		t.Fatal(err)
	}
	if got := strings.TrimSuffix(string(b), "\x00"); got != strings.Join(words, "\x00") {
		t.Errorf("the shell read %q", got)
	}
	if got := shell.Quote("arn:aws:iam::123456789012:role/app"); strings.Contains(got, "'") {
		t.Errorf("a plain word is quoted: %s", got)
	}
}
