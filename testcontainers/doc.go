// Package openirsa runs the emulator of AWS STS, IAM, S3 and KMS in a container, with [testcontainers-go].
//
//	aws, err := openirsa.Run(ctx, "openirsa.dev/openirsa:v0.1.0")
//	testcontainers.CleanupContainer(t, aws)
//	config, err := aws.Config(ctx)            // of the root user, for any client of the AWS SDK
//
// A Go test that needs no container is better served by package emulatortest, which runs the same emulator in the
// test's own process: it starts in a millisecond, needs no Docker, and shows decisions and faults as Go values. Use this
// package if what is tested runs in containers itself, or if all that a suite needs comes from testcontainers.
//
// An [Issuer] signs tokens as a cluster does, so that a container can assume a role as a pod does:
//
//	iss, err := aws.Issuer(ctx, "dev")
//	role, err := iss.Role(ctx, "default", "app", "arn:aws:iam::aws:policy/IAMReadOnlyAccess")
//	token, err := iss.Token("default", "app")
//
// Another container reaches the emulator by an alias in a network that both have. That name is also one below which
// buckets are virtual hosts, but nothing resolves BUCKET.aws: clients of S3 have to address buckets by path, or to have
// AWS_ENDPOINT_URL_S3 with an address.
//
//	network.WithNetwork([]string{"aws"}, nw)  // AWS_ENDPOINT_URL=http://aws:4566
//
// [testcontainers-go]: https://golang.testcontainers.org
package openirsa
