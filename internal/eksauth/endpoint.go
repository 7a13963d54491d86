package eksauth

import (
	"context"
	"fmt"
	"regexp"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
)

// suffixes are those of the partitions' names that IPv6 finds too, by the beginnings of
// their regions: EKS Auth has no others (the AWS SDKs' partitions.json).
var suffixes = []struct{ region, suffix string }{
	{"cn-", "api.amazonwebservices.com.cn"},
	{"eusc-", "api.amazonwebservices.eu"},
	{"us-isob-", "api.aws.scloud"},
	{"us-isof-", "api.aws.hci.ic.gov"},
	{"us-iso-", "api.aws.ic.gov"},
	{"eu-isoe-", "api.cloud-aws.adc-e.uk"},
	{"", "api.aws"},
}

var region = regexp.MustCompile(`^[a-z0-9-]+$`)

// serviceID is the service's name in the AWS SDKs' configuration.
const serviceID = "EKS Auth"

// Endpoint is the URL of EKS Auth, as the AWS SDKs find that of a service: what
// AWS_ENDPOINT_URL_EKS_AUTH, AWS_ENDPOINT_URL or a profile say, and else AWS's own in the
// region of the configuration, that for FIPS 140 if it asks for such (AWS SDKs and Tools
// Reference Guide, "Service-specific endpoints"). The error is a configuration that cannot
// be read, or the name of a region that none has.
func Endpoint(cfg aws.Config) (string, error) {
	ctx := context.Background() // it reads what is in memory
	ignored, fips := false, false
	for _, source := range cfg.ConfigSources {
		if s, ok := source.(interface {
			GetIgnoreConfiguredEndpoints(context.Context) (bool, bool, error)
		}); ok && !ignored {
			ignored, _, _ = s.GetIgnoreConfiguredEndpoints(ctx)
		}
		if s, ok := source.(interface {
			GetUseFIPSEndpoint(context.Context) (aws.FIPSEndpointState, bool, error)
		}); ok && !fips {
			state, _, err := s.GetUseFIPSEndpoint(ctx)
			if err != nil {
				return "", fmt.Errorf("reading the AWS configuration: %w", err)
			}
			fips = state == aws.FIPSEndpointStateEnabled
		}
	}
	for _, source := range cfg.ConfigSources {
		s, ok := source.(interface {
			GetServiceBaseEndpoint(context.Context, string) (string, bool, error)
		})
		if !ok || ignored {
			continue
		}
		if u, found, err := s.GetServiceBaseEndpoint(ctx, serviceID); err != nil {
			return "", fmt.Errorf("reading the AWS configuration: %w", err)
		} else if found {
			return u, nil
		}
	}
	if cfg.BaseEndpoint != nil && !ignored {
		return *cfg.BaseEndpoint, nil
	}
	if !region.MatchString(cfg.Region) {
		return "", fmt.Errorf("%q is not the name of a region", cfg.Region)
	}
	name := "eks-auth"
	if fips {
		name = "eks-auth-fips"
	}
	i := 0 // the last one fits all
	for !strings.HasPrefix(cfg.Region, suffixes[i].region) {
		i++
	}
	return "https://" + name + "." + cfg.Region + "." + suffixes[i].suffix, nil
}
