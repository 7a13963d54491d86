package kindenv

import (
	"context"
	"runtime"
)

// externalSecrets is the release of external-secrets' controller: of those whose providers are packages of its module. Later
// ones have them in modules without versions.
const externalSecrets = "v0.16.2"

// ExternalSecrets builds external-secrets' controller, with its provider for AWS alone, or takes it from the cache, and
// returns the folder with the program external-secrets and the folder crds.
func ExternalSecrets(ctx context.Context, o Options) (string, error) {
	c, err := newCache(newLogger(o.Log))
	if err != nil {
		return "", err
	}
	script := mustScript("external-secrets.sh")
	return c.entry(ctx, "external-secrets", keyOf(script, externalSecrets, runtime.Version()), func(ctx context.Context, dir string) error {
		return runScript(ctx, "external-secrets.sh", "OUT="+dir, "VERSION="+externalSecrets)
	})
}
