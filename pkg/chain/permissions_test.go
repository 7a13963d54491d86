package chain_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/iam"

	"github.com/openirsa/openirsa/pkg/chain"
	"github.com/openirsa/openirsa/pkg/export"
	"github.com/openirsa/openirsa/pkg/podidentity"
)

// permit makes the caller somebody who may do what the policy for some commands says, and nothing else.
func (w *world) permit(o chain.UpOptions, commands ...string) {
	w.Helper()
	e := &export.Resources{
		Cluster: "dev", Account: w.ch.Record.Account, Partition: "aws", Region: w.ch.Record.Region, Issuer: w.iss.URL, PodIdentity: true,
	}
	w.must(w.ch.Connect(w.Context()))
	e.Bucket, e.Provider = w.ch.Bucket(nil), w.ch.Provider(nil)
	var err error
	e.Associations, _, err = w.ch.WantAssociations(w.Context(), o.Associations)
	w.must(err)
	document, err := e.Policy(export.Permissions{Commands: commands})
	w.must(err)
	client, name := iam.NewFromConfig(w.aws.Config()), new("operator")
	_, err = client.CreateUser(w.Context(), &iam.CreateUserInput{UserName: name})
	w.must(err)
	made, err := client.CreatePolicy(w.Context(), &iam.CreatePolicyInput{PolicyName: name, PolicyDocument: new(string(document))})
	w.must(err)
	_, err = client.AttachUserPolicy(w.Context(), &iam.AttachUserPolicyInput{UserName: name, PolicyArn: made.Policy.Arn})
	w.must(err)
	key, err := client.CreateAccessKey(w.Context(), &iam.CreateAccessKeyInput{UserName: name})
	w.must(err)
	w.Setenv("AWS_ACCESS_KEY_ID", *key.AccessKey.AccessKeyId)
	w.Setenv("AWS_SECRET_ACCESS_KEY", *key.AccessKey.SecretAccessKey)
	w.ch, err = chain.Open(w.Context(), chain.Options{Kubeconfig: w.api.Kubeconfig(w.T, "dev")})
	w.must(err)
}

func (w *world) must(err error) {
	w.Helper()
	if err != nil {
		w.Fatal(err)
	}
}

// Whoever has no more than the policy that is exported for a command can run it on a chain with EKS Pod Identity, once the root user has registered the cluster.
func TestExportedPolicies(t *testing.T) {
	options := chain.UpOptions{Associations: associationsOf("app", "other"), Prune: true}
	t.Run("up-prune", func(t *testing.T) {
		w := newWorld(t)
		w.up(chain.UpOptions{Associations: associationsOf("gone")})
		w.permit(options, "up-prune")
		w.up(options)
		if got := w.names(); len(got) != 2 {
			t.Errorf("associations of %q", got)
		}
	})
	t.Run("status", func(t *testing.T) {
		w := newWorld(t)
		w.up(options)
		w.permit(options, "status")
		s, err := w.ch.Status(t.Context())
		w.must(err)
		for _, l := range s.Links {
			if !l.OK && l.Link != "webhook" && l.Link != "pod identity" {
				t.Errorf("%+v", l)
			}
		}
		if len(s.Associations) != 2 {
			t.Errorf("%+v", s)
		}
	})
	t.Run("migrate-to-pod-identity", func(t *testing.T) {
		w := newMover(t)
		w.grant("app")
		w.deploy("web", "app")
		w.permit(chain.UpOptions{}, "migrate-to-pod-identity")
		w.move(chain.MoveOptions{Restart: true, Remove: true})
		w.check("by whom the policy permits it", "app", false, true, false)
	})
	t.Run("migrate-to-pod-identity without EKS Auth", func(t *testing.T) {
		w := newMover(t)
		w.grant("app")
		w.deploy("web", "app")
		w.permit(chain.UpOptions{}, "podidentityassociation")
		e := w.unverified("by whom EKS Auth gives nothing", chain.MoveOptions{Restart: true, Remove: true})
		if r, ok := errors.AsType[*podidentity.RefusedError](e); !ok || r.Status != 403 || !strings.Contains(r.Message, "eks-auth:AssumeRoleForPodIdentity") {
			t.Error(e)
		}
	})
	t.Run("podidentityassociation", func(t *testing.T) {
		w := newWorld(t)
		w.permit(chain.UpOptions{}, "podidentityassociation")
		_, err := w.ch.Associate(t.Context(), chain.AssociateOptions{Associations: options.Associations}, nil)
		w.must(err)
		_, err = w.ch.Dissociate(t.Context(), chain.DissociateOptions{Associations: options.Associations}, nil)
		w.must(err)
		if roles, got := w.roles(), w.names(); len(roles)+len(got) > 0 {
			t.Errorf("roles %q and associations of %q are left", roles, got)
		}
	})
}
