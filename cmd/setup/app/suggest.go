package app

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws/arn"
	"github.com/spf13/cobra"

	"github.com/openirsa/openirsa/internal/cli"
	"github.com/openirsa/openirsa/internal/plain"
	"github.com/openirsa/openirsa/pkg/chain"
	"github.com/openirsa/openirsa/pkg/config"
	"github.com/openirsa/openirsa/pkg/emulator"
	"github.com/openirsa/openirsa/pkg/irsa"
	"github.com/openirsa/openirsa/pkg/role"
	"github.com/openirsa/openirsa/pkg/token"
)

// suggestOptions are the flags of `iamserviceaccount suggest`.
type suggestOptions struct {
	namespace, name string
	all             bool
	since, widen    string
	account         string
}

func (a *app) suggestServiceAccountCommand() *cobra.Command {
	var o suggestOptions
	c := &cobra.Command{
		Use:   "suggest",
		Short: "Write the least policy for what a service account was seen to do",
		Long: `Write the policy that allows what a service account did against the emulator, and
nothing else. Nothing is changed, and AWS itself is never asked: the emulator
remembers what each role did, and only it.

The output is, as -o says:
  yaml       the service accounts of a configuration file, with the policy in attachPolicy
  json       everything that is known: policies, what they rest on, what was refused
  terraform  managed policies, attached to the role
  diff       what the role lacks, what it has and never used, and what would be lost

What was not exercised is not in the policy: error paths, clean-up, jobs that run once a
month. Resources of which there were many become a pattern, and each pattern is told
with what it rests on; --widen exact has none. Who shares a role shares its policy.

To see what a role needs that has no permissions yet, tag it: aws iam tag-role
--role-name ROLE --tags Key=openirsa.dev/enforce,Value=log. The emulator then lets
through what policies deny, and tells it.`,
		Example: `  setup iamserviceaccount suggest --namespace shop --name checkout
  setup iamserviceaccount suggest --all --account 123456789012 > least.yaml
  setup iamserviceaccount suggest --name app --since 1h -o diff`,
		RunE: func(c *cobra.Command, _ []string) error { return a.suggest(c.Context(), o) },
	}
	a.clusterFlags(c)
	a.outputFlag(c, "yaml", "json", "terraform", "diff")
	f := c.Flags()
	f.StringVar(&o.namespace, "namespace", "default", "namespace of the service account")
	f.StringVar(&o.name, "name", "", "name of the service account")
	f.BoolVar(&o.all, "all", false, "all service accounts that have a role")
	f.StringVar(&o.since, "since", "", "only what was seen since a time, or a duration such as 2h ago")
	f.StringVar(&o.account, "account", "", "AWS account id that the policies are for: it stands in ARNs in the place of the emulator's")
	f.StringVar(&o.widen, "widen", "prefix", "when there are more than five resources: exact, none becomes a pattern; prefix, those that "+
		"begin alike; type, all of a type")
	f.StringVarP(&a.region, "region", "r", "", "AWS region (default: the chain's)")
	c.RegisterFlagCompletionFunc("widen", cobra.FixedCompletions([]string{"exact", "prefix", "type"}, cobra.ShellCompDirectiveNoFileComp))
	c.MarkFlagsOneRequired("name", "all")
	c.MarkFlagsMutuallyExclusive("name", "all")
	c.MarkFlagsMutuallyExclusive("namespace", "all")
	return c
}

func (a *app) suggest(ctx context.Context, o suggestOptions) error {
	if !slices.Contains([]string{"exact", "prefix", "type"}, o.widen) {
		return cli.Usagef("--widen %q is none of exact, prefix and type", o.widen)
	}
	if id := o.account; id != "" && (len(id) != 12 || strings.Trim(id, "0123456789") != "") {
		return cli.Usagef("--account %q is not 12 digits", id)
	}
	ch, err := a.connectInstalled(ctx)
	if err != nil {
		return err
	}
	accounts, err := ch.Cluster.ServiceAccounts(ctx)
	if err != nil {
		return err
	}
	var holders []holder
	for _, sa := range accounts {
		if roleARN := sa.Role(irsa.DefaultPrefix); roleARN != "" {
			holders = append(holders, holder{sa.Namespace, sa.Name, roleARN})
		}
	}
	s := &suggester{app: a, options: o, cluster: ch.Record.Cluster, issuer: ch.Issuer.HostPath(), holders: holders}
	if s.ask, err = askEmulator(ch); err != nil {
		return err
	}
	return s.run(ctx)
}

// holder is a service account that has a role.
type holder struct{ namespace, name, roleARN string }

func (h holder) String() string { return h.namespace + "/" + h.name }

// suggester writes the policies of service accounts.
type suggester struct {
	*app
	options         suggestOptions
	cluster, issuer string
	holders         []holder
	ask             func(ctx context.Context, query url.Values) ([]byte, error)
}

// unseenError is that the emulator has seen nothing of a role.
type unseenError struct{ text string }

func (e *unseenError) Error() string { return e.text }

// maxPolicyAnswer bounds, in bytes, what the emulator answers.
const maxPolicyAnswer = 64 << 20

// askEmulator asks the emulator that a chain's account is in.
func askEmulator(ch *chain.Chain) (func(context.Context, url.Values) ([]byte, error), error) {
	if ch.Account.Config.BaseEndpoint == nil {
		return nil, advise(errors.New("the account is AWS's, which does not tell what a role does: only the emulator does"),
			"SETUP up --emulator on a kind cluster, and run the workload there")
	}
	base := strings.TrimSuffix(*ch.Account.Config.BaseEndpoint, "/") + "/_openirsa/policy?"
	return func(ctx context.Context, query url.Values) ([]byte, error) {
		return fetchPolicy(ctx, base+query.Encode())
	}, nil
}

// fetchPolicy reads an answer of the emulator.
func fetchPolicy(ctx context.Context, address string) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return nil, err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, fmt.Errorf("asking the emulator: %w", err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxPolicyAnswer))
	if err != nil {
		return nil, fmt.Errorf("asking the emulator: %w", err)
	}
	if resp.StatusCode == http.StatusOK {
		return body, nil
	}
	var said struct{ Error string }
	if json.Unmarshal(body, &said) != nil || said.Error == "" {
		return nil, fmt.Errorf("asking the emulator for a policy: it answers %s; is it older than this program?", resp.Status)
	}
	if resp.StatusCode == http.StatusNotFound {
		return nil, &unseenError{said.Error}
	}
	return nil, advise(errors.New(said.Error), "the same with -o terraform, which has several managed policies, or with --widen type")
}

// run writes the policies of the service accounts that were asked for.
func (s *suggester) run(ctx context.Context) error {
	wanted := s.holders
	if !s.options.all {
		asked := s.options.namespace + "/" + s.options.name
		wanted = slices.DeleteFunc(slices.Clone(s.holders), func(h holder) bool { return h.String() != asked })
		if len(wanted) == 0 {
			return advise(fmt.Errorf("service account %s has no role", asked), "SETUP iamserviceaccount get lists those that have one")
		}
	}
	var answers [][]byte
	var of []holder
	for _, h := range wanted {
		body, err := s.ask(ctx, s.query(h))
		if _, unseen := errors.AsType[*unseenError](err); unseen && s.options.all {
			plain.Fprintf(s.app.err, "%s: %v\n", h, err)
			continue
		} else if unseen {
			return advise(fmt.Errorf("%s: %w", h, err), "let its pods do what they are for, then run the same command again")
		} else if err != nil {
			return err
		}
		answers, of = append(answers, body), append(of, h)
	}
	if len(answers) == 0 {
		return advise(errors.New("no service account was seen to do anything"),
			"let the pods do what they are for, then run the same command again")
	}
	switch s.app.output {
	case "json":
		return s.writeJSON(of, answers)
	case "yaml":
		return s.writeYAML(of, answers)
	}
	seen := map[string]bool{}
	for i, body := range answers {
		if seen[string(body)] { // of a role that is shared
			continue
		}
		seen[string(body)] = true
		if i > 0 {
			fmt.Fprintln(s.app.out)
		}
		if _, err := s.app.out.Write(body); err != nil {
			return err
		}
	}
	return nil
}

// sharing are the other service accounts that have the role of one.
func (s *suggester) sharing(h holder) []string {
	var others []string
	for _, other := range s.holders {
		if other != h && other.roleARN == h.roleARN {
			others = append(others, other.String())
		}
	}
	return others
}

// query asks for the policy of a service account's role: of what it did itself, unless
// others have the role too, who need what they did.
func (s *suggester) query(h holder) url.Values {
	q := url.Values{"role": {h.roleARN}, "widen": {s.options.widen}, "form": {"json"}}
	if len(s.sharing(h)) == 0 {
		q.Set("sub", s.issuer+":"+token.Subject(h.namespace, h.name))
	}
	if s.options.since != "" {
		q.Set("since", s.options.since)
	}
	if s.options.account != "" {
		q.Set("account", s.options.account)
	}
	switch s.app.output {
	case "yaml":
		q.Set("inline", "true")
	case "terraform", "diff":
		q.Set("form", s.app.output)
	}
	return q
}

// suggested is what `iamserviceaccount suggest -o json` prints of one.
type suggested struct {
	Namespace string   `json:"namespace"`
	Name      string   `json:"name"`
	Sharing   []string `json:"sharingRole,omitempty"`
	emulator.LeastPolicy
}

func (s *suggester) writeJSON(of []holder, answers [][]byte) error {
	list := []suggested{}
	for i, body := range answers {
		one := suggested{Namespace: of[i].namespace, Name: of[i].name, Sharing: s.sharing(of[i])}
		if err := json.Unmarshal(body, &one.LeastPolicy); err != nil {
			return fmt.Errorf("reading the emulator's answer: %w", err)
		}
		list = append(list, one)
	}
	return printJSON(s.app.out, list)
}

// writeYAML writes service accounts as a configuration file has them. What is to be
// known of each is in comments.
func (s *suggester) writeYAML(of []holder, answers [][]byte) error {
	var b bytes.Buffer
	fmt.Fprintf(&b, "apiVersion: %s\nkind: Cluster\nmetadata: {name: %q}\niamServiceAccounts:\n", config.Version, s.cluster)
	for i, body := range answers {
		var answer emulator.LeastPolicy
		if err := json.Unmarshal(body, &answer); err != nil {
			return fmt.Errorf("reading the emulator's answer: %w", err)
		}
		entry := map[string]any{"metadata": map[string]any{"namespace": of[i].namespace, "name": of[i].name}}
		if a, err := arn.Parse(of[i].roleARN); err == nil {
			path, name := role.PathFor(s.cluster), a.Resource[strings.LastIndexByte(a.Resource, '/')+1:]
			if name != role.NameFor(s.cluster, of[i].namespace, of[i].name) {
				entry["roleName"], path = name, "/"
			}
			if is := strings.TrimSuffix(strings.TrimPrefix(a.Resource, "role"), name); is != path {
				entry["rolePath"] = is
			}
		}
		for _, p := range answer.Policies { // there is one
			entry["attachPolicy"] = json.RawMessage(p.Document)
		}
		text, err := plain.MarshalYAML([]any{entry})
		if err != nil {
			return err
		}
		comments(&b, &answer, s.sharing(of[i]))
		b.Write(text)
	}
	_, err := s.app.out.Write(b.Bytes())
	return err
}

// comments are what is to be known of a policy, as lines of YAML that say nothing.
func comments(b *bytes.Buffer, answer *emulator.LeastPolicy, sharing []string) {
	line := func(format string, args ...any) {
		fmt.Fprintf(b, "# %s\n", plain.Line(fmt.Sprintf(format, args...)))
	}
	first, last := answer.First.UTC(), answer.Last.UTC()
	line("%d decisions from %s to %s.", answer.Decisions, first.Format("2006-01-02 15:04"), last.Format("2006-01-02 15:04 MST"))
	for _, note := range answer.Notes {
		line("%s", note)
	}
	if len(sharing) > 0 {
		line("The role is shared with %s: the policy is for all of them.", strings.Join(sharing, ", "))
	}
	for _, w := range answer.Widenings {
		line("Wider than what was seen: %s.", w)
	}
	for _, r := range answer.Refused {
		line("Not in it, since it was refused: %s on %s.", r.Action, r.Resource)
	}
	for _, r := range answer.Absent {
		line("Not in it, since it is not there: %s on %s.", r.Action, r.Resource)
	}
}
