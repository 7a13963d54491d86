package clients

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"
	"sigs.k8s.io/yaml"

	"github.com/openirsa/openirsa/e2e/internal/guarded"
	"github.com/openirsa/openirsa/e2e/internal/kindenv"
	"github.com/openirsa/openirsa/internal/kubetest"
	"github.com/openirsa/openirsa/internal/needs"
	"github.com/openirsa/openirsa/pkg/emulator/emulatortest"
	"github.com/openirsa/openirsa/pkg/issuer"
)

// The role of the service accounts, and what it reads.
const (
	readerRole    = "reader"
	readerSession = "external-secrets-provider-aws" // as the controller calls its sessions
	secretName    = "app"
	secretValue   = "open sesame"
)

// externalSecrets is a cluster without nodes that has external-secrets' controller, whose AWS is the guard.
type externalSecrets struct {
	*account
	cluster *kubetest.Server
	objects dynamic.Interface
}

// TestExternalSecrets has the controller of external-secrets read a secret as service accounts: it asks the API server for
// their tokens, assumes their roles with these, and gets the secret from another emulator behind the guard. What the
// role may not do becomes no Secret, and the ExternalSecret and the guard's events say why.
func TestExternalSecrets(t *testing.T) {
	e := startExternalSecrets(t)
	for _, name := range []string{"app", "other"} { // the role trusts the first
		e.serviceAccount(t, name)
		e.create(t, "secretstores", fmt.Sprintf(`
apiVersion: external-secrets.io/v1
kind: SecretStore
metadata: {name: %[1]s}
spec:
  provider:
    aws:
      service: SecretsManager
      region: %[2]s
      auth: {jwt: {serviceAccountRef: {name: %[1]s}}}
`, name, region))
	}

	e.allow(t, "secretsmanager:GetSecretValue", guarded.Secret)
	e.externalSecret(t, "allowed", "app")
	e.wait(t, "externalsecrets", "allowed", "True")
	e.holds(t, "allowed", secretValue)

	for name, policy := range map[string][2]string{
		"another-action":   {"secretsmanager:DescribeSecret", guarded.Secret},
		"another-resource": {"secretsmanager:GetSecretValue", guarded.Secret + "-else"},
	} {
		e.allow(t, policy[0], policy[1])
		e.externalSecret(t, name, "app")
		e.wait(t, "externalsecrets", name, "False")
		e.explains(t, name, "AccessDeniedException: User: "+readerARN()+" is not authorized to perform: secretsmanager:GetSecretValue on resource: "+
			strings.TrimRight(guarded.Secret, "?"), " because no identity-based policy allows the secretsmanager:GetSecretValue action")
		e.holds(t, name, "")
	}
	denial := e.denied(t, "secretsmanager:GetSecretValue")
	if ok, _ := filepath.Match(guarded.Secret, denial.Resource); !ok || denial.Caller != readerARN() || denial.Remedy == nil ||
		!strings.Contains(denial.Reason, "secretsmanager:GetSecretValue") {
		t.Errorf("the guard's event is %+v", denial)
	}

	// It was the permission and nothing else.
	e.allow(t, "secretsmanager:GetSecretValue", guarded.Secret)
	e.annotate(t, "another-action")
	e.wait(t, "externalsecrets", "another-action", "True")
	e.holds(t, "another-action", secretValue)

	e.externalSecret(t, "other", "other")
	e.wait(t, "secretstores", "other", "False")
	e.wait(t, "externalsecrets", "other", "False")
	e.holds(t, "other", "")
	denial = e.denied(t, "sts:AssumeRoleWithWebIdentity")
	if denial.Subject != "system:serviceaccount:default:other" || denial.Step != "trust" ||
		!strings.Contains(denial.Reason, `"system:serviceaccount:default:app"`) {
		t.Errorf("the event of the token is %+v", denial)
	}
}

func readerARN() string {
	return "arn:aws:sts::" + accountID + ":assumed-role/" + readerRole + "/" + readerSession
}

// startExternalSecrets runs the guard in front of kumo, which has a secret; a kube-apiserver, whose documents the guard
// reads; and the controller.
func startExternalSecrets(t *testing.T) *externalSecrets {
	t.Helper()
	options := kindenv.Options{Log: os.Stderr}
	bin, err := kindenv.Programs(t.Context(), options)
	if errors.Is(err, kindenv.ErrImpossible) {
		needs.Lacking(t, err)
	}
	if err != nil {
		t.Fatal(err)
	}
	controller, err := kindenv.ExternalSecrets(t.Context(), options)
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv("OPENIRSA_KUBERNETES_BIN", bin)
	e := &externalSecrets{account: startAccount(t, "http", "--forward", "secretsmanager="+everythingElse(t))}
	e.cluster = kubetest.Start(t, "--service-account-issuer", e.issuer.String(),
		"--service-account-jwks-uri", e.issuer.JWKS())
	if e.objects, err = dynamic.NewForConfig(e.cluster.Config); err != nil {
		t.Fatal(err)
	}
	e.publishCluster(t)
	e.prepareReader(t)
	e.define(t, filepath.Join(controller, "crds"))
	cmd := exec.Command(filepath.Join(controller, "external-secrets"), "--namespace=default", "--metrics-addr=0",
		"--enable-cluster-store-reconciler=false", "--enable-push-secret-reconciler=false",
		"--enable-cluster-external-secret-reconciler=false", "--enable-cluster-push-secret-reconciler=false")
	cmd.Env = []string{"KUBECONFIG=" + e.cluster.Kubeconfig(), "AWS_SECRETSMANAGER_ENDPOINT=" + e.url, "AWS_STS_ENDPOINT=" + e.url}
	background(t, cmd)
	return e
}

// publishCluster puts the documents that the API server serves in the place of those that the account has published.
func (e *externalSecrets) publishCluster(t *testing.T) {
	t.Helper()
	bucket, _, _ := strings.Cut(e.issuer.HostPath(), ".")
	for _, path := range []string{issuer.JWKSPath, issuer.DiscoveryPath} {
		document, err := e.cluster.Client.RESTClient().Get().AbsPath(path).DoRaw(t.Context())
		if err == nil {
			_, err = s3.NewFromConfig(e.config).PutObject(t.Context(), &s3.PutObjectInput{Bucket: &bucket,
				Key: new(strings.TrimPrefix(path, "/")), Body: bytes.NewReader(document), ContentType: new("application/json")})
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

// prepareReader makes the secret, and the role that may not do anything yet.
func (e *externalSecrets) prepareReader(t *testing.T) {
	t.Helper()
	ctx, admin := t.Context(), iam.NewFromConfig(e.config)
	_, err := secretsmanager.NewFromConfig(e.config).CreateSecret(ctx,
		&secretsmanager.CreateSecretInput{Name: new(secretName), SecretString: new(secretValue)})
	if err == nil {
		_, err = admin.CreateOpenIDConnectProvider(ctx,
			&iam.CreateOpenIDConnectProviderInput{Url: new(e.issuer.String()), ClientIDList: []string{audience}})
	}
	if err == nil {
		_, err = admin.CreateRole(ctx, &iam.CreateRoleInput{RoleName: new(readerRole), AssumeRolePolicyDocument: new(e.trust("default", "app"))})
	}
	if err != nil {
		t.Fatal(err)
	}
}

// allow gives the role the permission for one action on one resource, in place of what it had.
func (e *externalSecrets) allow(t *testing.T, action, resource string) {
	t.Helper()
	_, err := iam.NewFromConfig(e.config).PutRolePolicy(t.Context(), &iam.PutRolePolicyInput{
		RoleName: new(readerRole), PolicyName: new("read"),
		PolicyDocument: new(emulatortest.Document(map[string]any{"Effect": "Allow", "Action": action, "Resource": resource}))})
	if err != nil {
		t.Fatal(err)
	}
}

// define makes the CRDs of a folder, and waits until the API server serves them.
func (e *externalSecrets) define(t *testing.T, folder string) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(folder, "*.yaml"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no CRDs in %s: %v", folder, err)
	}
	crds := e.objects.Resource(schema.GroupVersionResource{Group: "apiextensions.k8s.io", Version: "v1", Resource: "customresourcedefinitions"})
	var names []string
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		made, err := crds.Create(t.Context(), parse(t, string(text)), metav1.CreateOptions{})
		if err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		names = append(names, made.GetName())
	}
	for _, name := range names {
		eventually(t, name+" is served", func(ctx context.Context) (bool, string, error) {
			crd, err := crds.Get(ctx, name, metav1.GetOptions{})
			if err != nil {
				return false, "", err
			}
			status, said := condition(crd, "Established")
			return status == "True", said, nil
		})
	}
}

func (e *externalSecrets) resource(kind string) dynamic.ResourceInterface {
	return e.objects.Resource(schema.GroupVersionResource{Group: "external-secrets.io", Version: "v1", Resource: kind}).Namespace("default")
}

func (e *externalSecrets) create(t *testing.T, kind, text string) {
	t.Helper()
	if _, err := e.resource(kind).Create(t.Context(), parse(t, text), metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
}

// serviceAccount makes one with the role's annotation.
func (e *externalSecrets) serviceAccount(t *testing.T, name string) {
	t.Helper()
	account := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: name,
		Annotations: map[string]string{"eks.amazonaws.com/role-arn": "arn:aws:iam::" + accountID + ":role/" + readerRole}}}
	_, err := e.cluster.Client.CoreV1().ServiceAccounts("default").Create(t.Context(), account, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
}

// externalSecret makes one that is to become the Secret of the same name, by a store.
func (e *externalSecrets) externalSecret(t *testing.T, name, store string) {
	t.Helper()
	e.create(t, "externalsecrets", fmt.Sprintf(`
apiVersion: external-secrets.io/v1
kind: ExternalSecret
metadata: {name: %s}
spec:
  refreshInterval: 1h
  secretStoreRef: {kind: SecretStore, name: %s}
  data: [{secretKey: password, remoteRef: {key: %s}}]
`, name, store, secretName))
}

// annotate has the controller look at an ExternalSecret again.
func (e *externalSecrets) annotate(t *testing.T, name string) {
	t.Helper()
	_, err := e.resource("externalsecrets").Patch(t.Context(), name, "application/merge-patch+json",
		[]byte(`{"metadata":{"annotations":{"force-sync":"1"}}}`), metav1.PatchOptions{})
	if err != nil {
		t.Fatal(err)
	}
}

// wait waits until the controller has said whether an object is ready.
func (e *externalSecrets) wait(t *testing.T, kind, name, ready string) {
	t.Helper()
	eventually(t, kind+" "+name+" has Ready "+ready, func(ctx context.Context) (bool, string, error) {
		object, err := e.resource(kind).Get(ctx, name, metav1.GetOptions{})
		if err != nil {
			return false, "", err
		}
		status, said := condition(object, "Ready")
		return status == ready, said, nil
	})
}

// explains checks what the controller has said about an ExternalSecret: an Event with these texts.
func (e *externalSecrets) explains(t *testing.T, name string, texts ...string) {
	t.Helper()
	eventually(t, "an Event says why "+name+" failed", func(ctx context.Context) (bool, string, error) {
		list, err := e.cluster.Client.CoreV1().Events("default").List(ctx, metav1.ListOptions{FieldSelector: "involvedObject.name=" + name})
		if err != nil {
			return false, "", err
		}
		var all []string
		for _, event := range list.Items {
			all = append(all, event.Reason+": "+event.Message)
		}
		said := strings.Join(all, "\n")
		missing := slices.ContainsFunc(texts, func(text string) bool { return !strings.Contains(said, text) })
		return !missing, said, nil
	})
}

// holds checks that the Secret of an ExternalSecret has the value, or is not there.
func (e *externalSecrets) holds(t *testing.T, name, value string) {
	t.Helper()
	got, err := e.cluster.Client.CoreV1().Secrets("default").Get(t.Context(), name, metav1.GetOptions{})
	switch {
	case value == "" && !apierrors.IsNotFound(err):
		t.Errorf("there is a Secret %s: %v", name, err)
	case value != "" && (err != nil || string(got.Data["password"]) != value):
		t.Errorf("the Secret %s does not have the value: %v", name, err)
	}
}

// denial is an event of the guard.
type denial struct {
	Caller, Action, Resource, Reason, Step, Subject string
	Remedy                                          *json.RawMessage
}

// denied is the last denial of an action.
func (a *account) denied(t *testing.T, action string) denial {
	t.Helper()
	response, err := http.Get(a.url + "/_openirsa/events?decision=deny&limit=1000")
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	var answer struct{ Events []denial }
	if err := json.NewDecoder(response.Body).Decode(&answer); err != nil {
		t.Fatal(err)
	}
	for _, d := range answer.Events {
		if d.Action == action {
			return d
		}
	}
	t.Fatalf("%s was not denied: %+v", action, answer.Events)
	return denial{}
}

// eventually waits until something is so. What is the case in the meantime is said if it is not.
func eventually(t *testing.T, what string, is func(ctx context.Context) (bool, string, error)) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for {
		ok, said, err := is(ctx)
		if ok {
			return
		}
		select {
		case <-ctx.Done():
			t.Fatalf("not within 30 s: %s: %s %v", what, said, err)
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// condition is the status of a condition, and the words with it.
func condition(object *unstructured.Unstructured, kind string) (status, said string) {
	list, _, _ := unstructured.NestedSlice(object.Object, "status", "conditions") // none is no error
	for _, c := range list {
		if c, ok := c.(map[string]any); ok && c["type"] == kind {
			return fmt.Sprint(c["status"]), fmt.Sprint(c["reason"], ": ", c["message"])
		}
	}
	return "", "no condition"
}

func parse(t *testing.T, text string) *unstructured.Unstructured {
	t.Helper()
	object := &unstructured.Unstructured{}
	if err := yaml.Unmarshal([]byte(text), &object.Object); err != nil {
		t.Fatal(err)
	}
	return object
}
