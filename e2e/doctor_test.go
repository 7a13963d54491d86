package e2e

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/openirsa/openirsa/pkg/token"
)

// diagnosis is what `setup doctor -o json` prints.
type diagnosis struct {
	Healthy bool
	Broken  *struct{ Link, Check, Summary, Expected, Found, Next string }
}

// doctor runs setup doctor for a service account.
func doctor(t testing.TB, account string) diagnosis {
	t.Helper()
	r := setup(t, "doctor", "--service-account", account, "-o", "json")
	if strings.Contains(r.stdout+r.stderr, "eyJ") {
		t.Error("a token is told")
	}
	var d diagnosis
	if err := json.Unmarshal([]byte(r.stdout), &d); err != nil {
		t.Fatalf("reading doctor's answer: %v:\n%s%s", err, r.stdout, r.stderr)
	}
	if d.Healthy != (r.code == 0) || d.Healthy != (d.Broken == nil) {
		t.Errorf("healthy: %t, exit %d, broken: %v", d.Healthy, r.code, d.Broken)
	}
	return d
}

// fault is what the doctor is to find: a link, a check, and words of what it says of them.
type fault struct{ link, check, expected, found, next string }

// finds fails t unless this is the first broken link.
func (d diagnosis) finds(t testing.TB, want fault) {
	t.Helper()
	if d.Broken == nil {
		t.Fatal("nothing is broken")
	}
	b := d.Broken
	if b.Link != want.link || b.Check != want.check || !strings.Contains(b.Expected, want.expected) ||
		!strings.Contains(b.Found, want.found) || !strings.Contains(b.Next, want.next) {
		t.Errorf("broken: %+v\nwant %+v", *b, want)
	}
}

// mend runs the command that the doctor named, which must be one of setup's.
func (d diagnosis) mend(t testing.TB) {
	t.Helper()
	if d.Broken == nil {
		t.Fatal("nothing is broken")
	}
	args := strings.Fields(d.Broken.Next)
	if len(args) < 2 || args[0] != "setup" {
		t.Fatalf("next is %q, want a command of setup", d.Broken.Next)
	}
	setup(t, args[1:]...).ok(t)
}

func (d diagnosis) well(t testing.TB) {
	t.Helper()
	if !d.Healthy {
		t.Fatalf("broken: %+v", *d.Broken)
	}
}

// testDoctor breaks links of a real cluster's chain, one at a time, and has them fixed by what the doctor says.
func testDoctor(t *testing.T) {
	needChain(t)
	const ns, sa = "e2e-doctor", "app"
	primary.namespace(t, ns)
	create := []string{"iamserviceaccount", "create", "--namespace", ns, "--name", sa, "--attach-policy-arn", readOnly, "--approve"}
	setup(t, create...).ok(t)
	role := primary.annotations(t, ns, sa)[roleAnnotation]
	roleName := role[strings.LastIndexByte(role, '/')+1:]
	sleeper := func(t *testing.T, name, serviceAccount string) pod {
		t.Helper()
		return primary.pod(t, podSpec{namespace: ns, name: name, serviceAccount: serviceAccount, image: client,
			args: []string{"/client", "sleep"}}).running(t)
	}

	t.Run("Healthy", func(t *testing.T) {
		p := sleeper(t, "healthy", sa)
		doctor(t, ns+"/"+sa).well(t)
		setup(t, "doctor", "--pod", p.String()).ok(t)
		setup(t, "doctor").ok(t)
		p.remove(t)
	})
	t.Run("TrustPolicy", func(t *testing.T) {
		var got struct {
			Role struct{ AssumeRolePolicyDocument json.RawMessage }
		}
		if err := json.Unmarshal([]byte(rootCLI(t, "iam", "get-role", "--role-name", roleName)), &got); err != nil {
			t.Fatal(err)
		}
		wrong := strings.Replace(string(got.Role.AssumeRolePolicyDocument), token.Subject(ns, sa), token.Subject(sa, ns), 1)
		rootCLI(t, "iam", "update-assume-role-policy", "--role-name", roleName, "--policy-document", wrong)
		r := setup(t, "doctor", "--service-account", ns+"/"+sa)
		r.fails(t, "role", "trust policy")
		d := doctor(t, ns+"/"+sa)
		d.finds(t, fault{"role", "trust policy", token.Subject(ns, sa), token.Subject(sa, ns), "setup iamserviceaccount create"})
		d.mend(t)
		doctor(t, ns+"/"+sa).well(t)
	})
	t.Run("PrivateBucket", func(t *testing.T) {
		bucket, _, _ := strings.Cut(strings.TrimPrefix(primary.issuer(t), "https://"), ".")
		rootCLI(t, "s3api", "put-public-access-block", "--bucket", bucket, "--public-access-block-configuration",
			"BlockPublicAcls=true,IgnorePublicAcls=true,BlockPublicPolicy=true,RestrictPublicBuckets=true")
		d := doctor(t, ns+"/"+sa)
		d.finds(t, fault{"documents", "discovery document", "200 for anybody", "403", "setup up"})
		d.mend(t)
		doctor(t, ns+"/"+sa).well(t)
	})
	t.Run("ClientID", func(t *testing.T) {
		arn := "arn:aws:iam::" + account + ":oidc-provider/" + strings.TrimPrefix(primary.issuer(t), "https://")
		rootCLI(t, "iam", "remove-client-id-from-open-id-connect-provider", "--open-id-connect-provider-arn", arn,
			"--client-id", "sts.amazonaws.com")
		d := doctor(t, ns+"/"+sa)
		d.finds(t, fault{"provider", "provider", "client id sts.amazonaws.com", "none", "aws iam add-client-id-to-open-id-connect-provider"})
		rootCLI(t, strings.Fields(d.Broken.Next)[1:]...)
		doctor(t, ns+"/"+sa).well(t)
	})
	t.Run("AnnotationTypo", func(t *testing.T) {
		primary.serviceAccount(t, ns, "typo", map[string]string{"eks.amazonaws.com/role-arm": role})
		doctor(t, ns+"/typo").finds(t, fault{"service account", "annotation", roleAnnotation, "eks.amazonaws.com/role-arm", "annotate"})
	})
	t.Run("NamespaceSwapped", func(t *testing.T) {
		primary.namespace(t, "e2e-doctor-other")
		doctor(t, "e2e-doctor-other/"+sa).finds(t, fault{"service account", "service account", "e2e-doctor-other/" + sa,
			ns + "/" + sa, "setup doctor"})
	})
	t.Run("PodOlderThanAnnotation", func(t *testing.T) {
		primary.serviceAccount(t, ns, "late", nil)
		p := sleeper(t, "late", "late")
		time.Sleep(time.Second) // the API server's times are whole seconds
		setup(t, "iamserviceaccount", "create", "--namespace", ns, "--name", "late", "--attach-policy-arn", readOnly, "--approve").ok(t)
		doctor(t, ns+"/late").finds(t, fault{"pod", "missed", "made after", "made at", "kubectl --namespace " + ns})
		p.remove(t)
		doctor(t, ns+"/late").well(t)
	})
	t.Run("StaticKeys", func(t *testing.T) {
		p := primary.pod(t, podSpec{namespace: ns, name: "static", serviceAccount: sa, image: client, args: []string{"/client", "sleep"},
			env: map[string]string{"AWS_ACCESS_KEY_ID": "AKIAEXAMPLE"}}).running(t)
		doctor(t, ns+"/"+sa).finds(t, fault{"pod", "static keys", "no AWS_ACCESS_KEY_ID", "in env", "kubectl"})
		p.remove(t)
	})
	t.Run("WebhookDown", func(t *testing.T) {
		const none = `{"spec":{"replicas":0}}`
		if _, err := primary.client.AppsV1().Deployments(system).Patch(suite, "webhook", types.StrategicMergePatchType,
			[]byte(none), metav1.PatchOptions{}); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { setup(t, "up", "--emulator") })
		poll(t, patience, "waiting for the webhook to be gone", gone("app.kubernetes.io/name=webhook"))
		d := doctor(t, ns+"/"+sa)
		d.finds(t, fault{"webhook", "webhook", "a ready pod behind Service " + system + "/webhook", "0 ready pods", "setup up"})
		d.mend(t)
		doctor(t, ns+"/"+sa).well(t)
	})
	t.Run("PodOlderThanWebhook", func(t *testing.T) {
		configurations := primary.client.AdmissionregistrationV1().MutatingWebhookConfigurations()
		if err := configurations.Delete(suite, "openirsa", metav1.DeleteOptions{}); err != nil {
			t.Fatal(err)
		}
		d := doctor(t, ns+"/"+sa)
		d.finds(t, fault{"webhook", "webhook", "MutatingWebhookConfiguration", "none", "setup up"})
		p := sleeper(t, "early", sa)
		time.Sleep(time.Second)
		d.mend(t)
		doctor(t, ns+"/"+sa).finds(t, fault{"pod", "missed", "made after", "made at", "kubectl --namespace " + ns})
		p.remove(t)
		doctor(t, ns+"/"+sa).well(t)
	})
}

// gone reports whether no pod of the system's namespace has a label.
func gone(label string) func(context.Context) error {
	return func(ctx context.Context) error {
		pods, err := primary.client.CoreV1().Pods(system).List(ctx, metav1.ListOptions{LabelSelector: label})
		if err == nil && len(pods.Items) > 0 {
			err = errors.New("still there")
		}
		return err
	}
}
