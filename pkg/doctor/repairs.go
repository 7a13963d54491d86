package doctor

import (
	"strings"

	"github.com/openirsa/openirsa/pkg/irsa"
)

// setIssuer is the command that gives the API servers the chain's issuer.
func (d *diagnosis) setIssuer() Fix {
	if d.Kept {
		return Fix{
			Commands: []Command{{Verb: "down"}, {Verb: "up", Args: []string{"--emulator", "--keep-issuer"}}},
			Note:     "the API servers keep their issuer, which was " + d.Issuer.String(),
		}
	}
	if d.Remote && !d.Issuer.IsZero() {
		return Fix{
			Commands:  []Command{{Verb: "apiserver", Root: true}},
			Note:      "on each control-plane node of kubeadm",
			Elsewhere: &Command{Verb: "apiserver print"},
		}
	}
	return setup("up")
}

// setClock are the commands that set a wrong clock.
func setClock() Fix {
	return Fix{
		Commands: []Command{{Args: []string{"date", "--utc"}}, {Args: []string{"timedatectl", "set-ntp", "true"}}},
		Note:     "on the control-plane nodes",
	}
}

// showCertificate is the command that shows the certificate of a server.
func showCertificate(hostPort string, options ...string) Fix {
	argv := append(append([]string{"openssl", "s_client"}, options...), "-connect", hostPort)
	return Fix{Commands: []Command{{Args: argv, Stdin: "/dev/null"}}}
}

// createServiceAccount is the command that makes the service account with a role.
func (d *diagnosis) createServiceAccount() Fix {
	return setup("iamserviceaccount create", "--namespace", d.Namespace, "--name", d.Name, "--attach-policy-arn", "ARN", "--approve")
}

// createRole is the command that makes the role and its trust policy as they should be.
// The name is empty for the default one, and without policies the user has to fill in
// one.
func (d *diagnosis) createRole(name string, policyARNs []string) Fix {
	args := []string{"--namespace", d.Namespace, "--name", d.Name}
	if name != "" {
		args = append(args, "--role-name", name)
		if path := pathOf(d.Role.ARN); !strings.HasPrefix(path, "/openirsa/") {
			args = append(args, "--role-path", path)
		}
	}
	if len(policyARNs) == 0 {
		policyARNs = []string{"ARN"}
	}
	for _, arn := range policyARNs {
		args = append(args, "--attach-policy-arn", arn)
	}
	return setup("iamserviceaccount create", append(args, "--override-existing-serviceaccounts", "--approve")...)
}

// pathOf is the path in a role's ARN.
func pathOf(arn string) string {
	_, rest, _ := strings.Cut(arn, ":role")
	return rest[:strings.LastIndexByte(rest, '/')+1]
}

// annotate is the command that gives the service account a role. More annotations are
// changed as well.
func (d *diagnosis) annotate(arn string, more ...string) Fix {
	args := []string{"annotate", "--overwrite", "serviceaccount", d.Name, irsa.DefaultPrefix.RoleARN() + "=" + arn}
	return kubectl(d.Namespace, append(args, more...)...)
}

// unannotate is the command that removes an annotation from the service account.
func (d *diagnosis) unannotate(key string) Fix {
	return kubectl(d.Namespace, "annotate", "serviceaccount", d.Name, key+"-")
}
