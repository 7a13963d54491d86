package cluster

import (
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/openirsa/openirsa/internal/kubefake"
	"github.com/openirsa/openirsa/pkg/keys"
	"github.com/openirsa/openirsa/pkg/token"
)

// Which of a pod's volumes hold tokens is known from the pod, as the API server has it:
// nothing that a tenant can put into a volume counts.
func TestTokenFiles(t *testing.T) {
	own := func(path string) corev1.VolumeProjection {
		return corev1.VolumeProjection{ServiceAccountToken: &corev1.ServiceAccountTokenProjection{Path: path}}
	}
	items := func(paths ...string) []corev1.KeyToPath {
		var list []corev1.KeyToPath
		for _, p := range paths {
			list = append(list, corev1.KeyToPath{Key: "k", Path: p})
		}
		return list
	}
	config := func(paths ...string) corev1.VolumeProjection {
		return corev1.VolumeProjection{ConfigMap: &corev1.ConfigMapProjection{Items: items(paths...)}}
	}
	secret := func(paths ...string) corev1.VolumeProjection {
		return corev1.VolumeProjection{Secret: &corev1.SecretProjection{Items: items(paths...)}}
	}
	downward := func(path string) corev1.VolumeProjection {
		return corev1.VolumeProjection{DownwardAPI: &corev1.DownwardAPIProjection{Items: []corev1.DownwardAPIVolumeFile{{Path: path}}}}
	}
	for name, c := range map[string]struct {
		sources []corev1.VolumeProjection
		want    []string // below ..data
	}{
		"what every pod has":                    {[]corev1.VolumeProjection{own("token"), config("ca.crt"), downward("namespace")}, []string{"token"}},
		"two tokens":                            {[]corev1.VolumeProjection{own("a"), own("deep/b")}, []string{"a", "deep/b"}},
		"a ConfigMap":                           {[]corev1.VolumeProjection{config("token")}, nil},
		"a Secret":                              {[]corev1.VolumeProjection{secret("token")}, nil},
		"an annotation":                         {[]corev1.VolumeProjection{downward("token")}, nil},
		"a ConfigMap over the token":            {[]corev1.VolumeProjection{own("token"), config("token")}, nil},
		"by another spelling":                   {[]corev1.VolumeProjection{own("a/token"), config("a//./token")}, nil},
		"all keys of a ConfigMap over it":       {[]corev1.VolumeProjection{own("token"), config()}, nil},
		"all keys of a Secret over it":          {[]corev1.VolumeProjection{own("token"), secret()}, nil},
		"an annotation over it":                 {[]corev1.VolumeProjection{own("token"), downward("token")}, nil},
		"something unknown over it":             {[]corev1.VolumeProjection{own("token"), {}}, nil},
		"the token over a ConfigMap":            {[]corev1.VolumeProjection{config("token"), own("token")}, []string{"token"}},
		"another file of a Secret":              {[]corev1.VolumeProjection{own("token"), secret("other")}, []string{"token"}},
		"a path that leaves the volume":         {[]corev1.VolumeProjection{own("../../other/token")}, nil},
		"a path that is two lines":              {[]corev1.VolumeProjection{own("x\nuid-2/volumes/kubernetes.io~projected/v/..data/token")}, nil},
		"a path that no file system could have": {[]corev1.VolumeProjection{own(strings.Repeat("x", 5000))}, nil},
	} {
		p := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: "pod", UID: "uid"}}
		p.Spec.ServiceAccountName = "app"
		p.Spec.Volumes = []corev1.Volume{{Name: "empty"}, {Name: "v", VolumeSource: corev1.VolumeSource{Projected: &corev1.ProjectedVolumeSource{Sources: c.sources}}}}
		var got []string
		for _, f := range tokenFilesOf(p) {
			rest, ok := strings.CutPrefix(f.path, "uid/volumes/kubernetes.io~projected/v/..data/")
			if got = append(got, rest); !ok || f.pod != "ns/pod" || f.account != "ns/app" {
				t.Errorf("%s: %+v", name, f)
			}
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("%s: %q, expected %q", name, got, c.want)
		}
	}
}

// A Secret of the type of tokens can hold anything: only what a key of the cluster
// has signed is a token, also without a kid.
func TestSecretTokens(t *testing.T) {
	api, c := newAPI(t)
	key, err := keys.Generate(keys.RS256)
	if err != nil {
		t.Fatal(err)
	}
	other, err := keys.Generate(keys.RS256)
	if err != nil {
		t.Fatal(err)
	}
	set, err := keys.NewSet(key.Public())
	if err != nil {
		t.Fatal(err)
	}
	api.JWKS = set.JWKS()
	mint := func(key keys.Private) string {
		raw, err := token.Mint(key, token.Claims{Issuer: kubefake.DefaultIssuer, Subject: "system:serviceaccount:default:app", IssuedAt: token.At(time.Now()), Expiry: token.At(time.Now().Add(time.Hour))})
		if err != nil {
			t.Fatal(err)
		}
		return raw
	}
	good := mint(key)
	header, rest, _ := strings.Cut(good, ".")
	payload, signature, _ := strings.Cut(rest, ".")
	for name, text := range map[string]string{
		"good":        good,
		"unsigned":    header + "." + payload + ".",
		"forged":      "eyJhbGciOiJSUzI1NiJ9." + payload + "." + signature, // a header of its own
		"of-another":  mint(other),
		"not-a-token": "eyJh, not a token",
		"nothing":     "",
	} {
		api.Put("/api/v1/namespaces/team/secrets/"+name, &corev1.Secret{
			ObjectMeta: metav1.ObjectMeta{Namespace: "team", Name: name}, Type: corev1.SecretTypeServiceAccountToken,
			Data: map[string][]byte{corev1.ServiceAccountTokenKey: []byte(text)},
		})
	}
	all, err := c.SecretTokens(t.Context())
	if err != nil || len(all) != 1 || all[0].Secret != "team/good" || all[0].Issuer != kubefake.DefaultIssuer {
		t.Errorf("%+v, %v", all, err)
	}
}
