package app

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/openirsa/openirsa/internal/cli"
	"github.com/openirsa/openirsa/internal/wait"
	"github.com/openirsa/openirsa/pkg/irsa"
)

// checkCommand is the command check, which the chart's test runs in the cluster.
func checkCommand(in *cli.Invocation) *cobra.Command {
	var o options
	var account string
	var within time.Duration
	c := &cobra.Command{
		Use:   "check --service-account NAMESPACE/NAME",
		Short: "Ask the API server for a pod of a service account with a role, as a dry run, and see what the webhook makes of it",
		Long: "Check asks the API server for a pod of a service account with a role, as a dry\n" +
			"run: it is admitted as all pods are, and not kept. It fails unless the webhook has\n" +
			"given that pod the role, or container credentials, and a token. It needs the right\n" +
			"to create pods in that namespace.",
		Example: "  " + in.Name + " check --service-account default/app",
		RunE: func(cmd *cobra.Command, _ []string) error {
			namespace, name, ok := strings.Cut(account, "/")
			if !ok || namespace == "" || name == "" || strings.Contains(name, "/") {
				return cli.Usagef("--service-account %q is not NAMESPACE/NAME", account)
			}
			clients, err := o.clients()
			if err != nil {
				return err
			}
			return wait.Retry(cmd.Context(), within, wait.Any, func(ctx context.Context) error {
				made, err := clients.pods(namespace).Create(ctx, trial(name), metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}})
				if err != nil {
					return fmt.Errorf("asking for a pod of %s: %w", account, err)
				}
				given, err := identity(made)
				if err != nil {
					return fmt.Errorf("a pod of %s: %w", account, err)
				}
				fmt.Fprintf(in.Stdout, "a pod of %s gets %s and a token\n", account, given)
				return nil
			})
		},
	}
	f := c.Flags()
	f.SortFlags = false
	f.StringVar(&account, "service-account", "", "the service account, which has a role, as NAMESPACE/NAME")
	f.DurationVar(&within, "within", 30*time.Second, "how long to try again what fails. 0: once")
	f.StringVar(&o.kubeconfig, "kubeconfig", "", "kubeconfig file; without it and --kube-api the pod's own service account is used")
	f.StringVar(&o.kubeAPI, "kube-api", "", "URL of the API server")
	cli.OnlyFlags(c)
	return c
}

// trial is a pod that every admission policy should like.
func trial(serviceAccount string) *corev1.Pod {
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{GenerateName: "openirsa-check-"},
		Spec: corev1.PodSpec{
			ServiceAccountName: serviceAccount,
			SecurityContext: &corev1.PodSecurityContext{
				RunAsNonRoot: new(true), RunAsUser: new(int64(65532)),
				SeccompProfile: &corev1.SeccompProfile{Type: corev1.SeccompProfileTypeRuntimeDefault},
			},
			Containers: []corev1.Container{{
				Name: "check", Image: "openirsa.dev/never-run",
				Resources: corev1.ResourceRequirements{
					Requests: corev1.ResourceList{
						corev1.ResourceCPU: resource.MustParse("1m"), corev1.ResourceMemory: resource.MustParse("1Mi"),
					},
					Limits: corev1.ResourceList{
						corev1.ResourceCPU: resource.MustParse("1m"), corev1.ResourceMemory: resource.MustParse("1Mi"),
					},
				},
				SecurityContext: &corev1.SecurityContext{
					AllowPrivilegeEscalation: new(false), ReadOnlyRootFilesystem: new(true),
					Capabilities: &corev1.Capabilities{Drop: []corev1.Capability{"ALL"}},
				},
			}},
		},
	}
}

// identity is what a pod's container was given besides the token, or what it lacks.
func identity(p *corev1.Pod) (given string, err error) {
	env := map[string]string{}
	for _, c := range p.Spec.Containers {
		for _, e := range c.Env {
			env[e.Name] = e.Value
		}
	}
	volume := ""
	switch {
	case env[irsa.EnvRoleARN] != "":
		given, volume = "the role "+env[irsa.EnvRoleARN], irsa.Volume
	case env[irsa.EnvCredentialsURI] != "" && env[irsa.EnvCredentialsTokenFile] != "":
		given, volume = "container credentials (EKS Pod Identity)", irsa.CredentialsVolume
	default:
		return "", fmt.Errorf("admitted without a role: the webhook was not asked about it, or did not answer "+
			"(failure policy Ignore), or the service account has neither an annotation %s/role-arn nor a pod identity association",
			irsa.DefaultPrefix)
	}
	for _, v := range p.Spec.Volumes {
		if v.Projected == nil {
			continue
		}
		for _, s := range v.Projected.Sources {
			if t := s.ServiceAccountToken; t != nil && v.Name == volume {
				return given, nil
			}
		}
	}
	return "", fmt.Errorf("admitted with %s and without a token", given)
}
