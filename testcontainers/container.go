package openirsa

import (
	"context"
	"fmt"
	"net"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/testcontainers/testcontainers-go"
	"github.com/testcontainers/testcontainers-go/wait"
)

// Port is the one port of the emulator, in the container.
const Port = "4566/tcp"

// DefaultRegion is the region of [Container.Config] without [WithRegion]. The emulator answers for every region.
const DefaultRegion = "us-east-1"

// RootCredential is the access key id of the root user, and the secret of it. It is no secret: everybody knows it.
const RootCredential = "test"

// Container is a running emulator.
type Container struct {
	testcontainers.Container

	region string
}

// Run starts the emulator from an image of OpenIRSA, and returns when it answers. Besides the options of this package
// it takes all those of testcontainers-go: a network, a name, further arguments of the emulator (WithCmdArgs).
//
// If there is an error, the container may have been created nevertheless: pass both to testcontainers.CleanupContainer,
// as with every module.
func Run(ctx context.Context, img string, opts ...testcontainers.ContainerCustomizer) (*Container, error) {
	o := options{region: DefaultRegion}
	all := []testcontainers.ContainerCustomizer{
		testcontainers.WithEntrypoint("/emulator"),
		testcontainers.WithEnv(map[string]string{"EMULATOR_LISTEN": ":4566"}),
		testcontainers.WithExposedPorts(Port),
		testcontainers.WithWaitStrategy(wait.ForHTTP("/_openirsa/health").WithPort(Port)),
	}
	for _, opt := range opts {
		if own, ok := opt.(Option); ok {
			own(&o)
		}
		all = append(all, opt)
	}
	ctr, err := testcontainers.Run(ctx, img, append(all, testcontainers.CustomizeRequestOption(aliases))...)
	var c *Container
	if ctr != nil {
		c = &Container{Container: ctr, region: o.region}
	}
	if err != nil {
		return c, fmt.Errorf("running the emulator %s: %w", img, err)
	}
	return c, nil
}

// aliases has the emulator know the names by which other containers reach it.
func aliases(req *testcontainers.GenericContainerRequest) error {
	var names []string
	for _, list := range req.NetworkAliases {
		names = append(names, list...)
	}
	if len(names) == 0 {
		return nil
	}
	slices.Sort(names)
	list := strings.Join(slices.Compact(names), ",")
	for _, variable := range []string{"EMULATOR_HOST", "EMULATOR_S3_HOST"} {
		if req.Env[variable] == "" {
			req.Env[variable] = list
		}
	}
	return nil
}

// EndpointURL is AWS_ENDPOINT_URL for clients on the machine of the test, for all services. It has an address and not a
// name, so that SDKs address buckets by path.
func (c *Container) EndpointURL(ctx context.Context) (string, error) {
	host, err := c.Host(ctx)
	if err != nil {
		return "", fmt.Errorf("finding the emulator's endpoint: %w", err)
	}
	port, err := c.MappedPort(ctx, Port)
	if err != nil {
		return "", fmt.Errorf("finding the emulator's endpoint: %w", err)
	}
	if host == "localhost" {
		host = "127.0.0.1"
	}
	if net.ParseIP(host) == nil {
		addresses, err := net.DefaultResolver.LookupNetIP(ctx, "ip4", host)
		if err != nil {
			return "", fmt.Errorf("finding the emulator's endpoint: %w", err)
		}
		host = addresses[0].String()
	}
	return "http://" + net.JoinHostPort(host, fmt.Sprint(port.Num())), nil
}

// Config is the configuration of clients with the credentials of the account's root user, who may do everything.
func (c *Container) Config(ctx context.Context) (aws.Config, error) {
	url, err := c.EndpointURL(ctx)
	if err != nil {
		return aws.Config{}, err
	}
	return aws.Config{
		Region: c.region, BaseEndpoint: &url,
		Credentials: credentials.NewStaticCredentialsProvider(RootCredential, RootCredential, ""),
	}, nil
}
