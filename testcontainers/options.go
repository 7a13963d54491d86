package openirsa

import "github.com/testcontainers/testcontainers-go"

// options are what the emulator does not know.
type options struct {
	region string
}

// Option is an option of [Run] that says something of the [Container], and nothing to the emulator.
type Option func(*options)

// Customize makes an Option one of testcontainers-go's. It changes no request.
func (Option) Customize(*testcontainers.GenericContainerRequest) error { return nil }

// WithRegion is the region of [Container.Config] and of the buckets that [Container.Issuer] makes, such as "eu-west-1".
func WithRegion(region string) Option { return func(o *options) { o.region = region } }

// WithAccount is the account of the emulator, twelve digits; 000000000000 without it.
func WithAccount(id string) testcontainers.CustomizeRequestOption {
	return testcontainers.WithEnv(map[string]string{"EMULATOR_ACCOUNT": id})
}

// WithState keeps the emulator's state in a volume of Docker with that name, which is made if it is not there: the next
// container with the same volume goes on where this one ended, however it ended. One container at a time can have it.
//
// The volume stays when the container goes; remove it with testcontainers.RemoveVolumes when the container is terminated.
func WithState(volume string) testcontainers.CustomizeRequestOption {
	return func(req *testcontainers.GenericContainerRequest) error {
		// A new volume takes the rights of the folder of the image that it covers. Anybody may write to /tmp, and the
		// emulator is not root.
		if err := testcontainers.WithMounts(testcontainers.VolumeMount(volume, "/tmp"))(req); err != nil {
			return err
		}
		return testcontainers.WithEnv(map[string]string{"EMULATOR_STATE": "/tmp/emulator.db"})(req)
	}
}

// WithControl opens the control API below /_openirsa/control, with which a test moves the clock and injects faults.
// Whoever reaches the port can do that.
func WithControl() testcontainers.CustomizeRequestOption {
	return testcontainers.WithEnv(map[string]string{"EMULATOR_CONTROL": "true"})
}
