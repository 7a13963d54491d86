package smallpages

import (
	"os"
	"regexp"
	"testing"
)

// TestOnly: the kernel says so itself (proc(5), THP_enabled; since Linux 5.0).
func TestOnly(t *testing.T) {
	enabled := func() string {
		b, err := os.ReadFile("/proc/self/status")
		if err != nil {
			t.Fatal(err)
		}
		if m := regexp.MustCompile(`(?m)^THP_enabled:\s*(\d)$`).FindSubmatch(b); m != nil {
			return string(m[1])
		}
		return ""
	}
	if was := enabled(); was != "1" {
		t.Logf("this kernel gives out no large pages: THP_enabled is %q", was)
	} else if Only(); enabled() != "0" {
		t.Errorf("THP_enabled is %q after Only, want 0", enabled())
	}
}
