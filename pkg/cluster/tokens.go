package cluster

import (
	"cmp"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"
	"unicode"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/openirsa/openirsa/internal/kube"
	"github.com/openirsa/openirsa/pkg/keys"
	"github.com/openirsa/openirsa/pkg/token"
)

// Token is what a token says of itself. The token as such never leaves the
// place where it is.
type Token struct {
	// Node is the node on which kubelet keeps the token, and Pod the pod that
	// it is for, NAMESPACE/NAME, as the API server has it. Both are empty for
	// the token of a Secret.
	Node, Pod string
	// Secret is NAMESPACE/NAME of the Secret that holds the token, if one does.
	Secret string
	// KID names the key that signed it; empty in tokens older than Kubernetes
	// 1.16, which named none.
	KID       string
	Issuer    string
	Audiences []string
	IssuedAt  time.Time
	// Expires is zero for a token that never does, as those in Secrets.
	Expires time.Time
}

// String says where the token is.
func (t Token) String() string {
	if t.Secret != "" {
		return "Secret " + t.Secret
	}
	return "pod " + t.Pod + " on node " + t.Node
}

// ProjectedTokens are the live tokens that kubelet projects into pods, on the
// nodes that can be reached. A token outlives its service account, but is void
// then, and kubelet cannot renew it; neither those nor tokens that have
// expired are among them.
//
// Signatures stay on the nodes, so that these tokens are not verified: which file
// is a token is known from the pod as the API server has it, and kubelet has
// written it. What a tenant puts into a pod's volumes is never read.
func (c *Cluster) ProjectedTokens(ctx context.Context) ([]Token, error) {
	if len(c.nodes) == 0 {
		return nil, nil
	}
	files, err := c.tokenFiles(ctx)
	if err != nil {
		return nil, err
	}
	accounts, err := c.serviceAccountUIDs(ctx)
	if err != nil {
		return nil, err
	}
	paths := make([]string, len(files))
	for i, f := range files {
		paths[i] = f.path
	}
	var all []Token
	for _, n := range c.nodes {
		there, err := n.ProjectedTokens(ctx, paths)
		if err != nil {
			return nil, err
		}
		for _, p := range there {
			t, account, ok := parseToken(p.Header, p.Payload)
			file := files[p.File]
			if !ok || account == "" || accounts[file.account] != account || !t.Expires.IsZero() && time.Now().After(t.Expires) {
				continue
			}
			t.Node, t.Pod = n.Name, file.pod
			all = append(all, t)
		}
	}
	return all, nil
}

// tokenFile is where kubelet keeps a token for a pod.
type tokenFile struct {
	path         string // below [node.PodsDir]
	pod, account string // NAMESPACE/NAME
}

// tokenFiles are the files of the tokens that kubelet projects into the pods that
// there are.
func (c *Cluster) tokenFiles(ctx context.Context) ([]tokenFile, error) {
	var files []tokenFile
	options := metav1.ListOptions{Limit: 500, FieldSelector: "status.phase!=Succeeded,status.phase!=Failed"}
	for {
		pods, err := Retry(ctx, func() (*kube.List[corev1.Pod], error) { return c.client.Pods(metav1.NamespaceAll).List(ctx, options) })
		if err != nil {
			return nil, fmt.Errorf("listing the pods of cluster %s: %w", c.Name, err)
		}
		for _, p := range pods.Items {
			files = append(files, tokenFilesOf(&p)...)
		}
		if options.Continue = pods.Continue; options.Continue == "" {
			return files, nil
		}
	}
}

func tokenFilesOf(p *corev1.Pod) []tokenFile {
	var files []tokenFile
	for _, v := range p.Spec.Volumes {
		if v.Projected == nil {
			continue
		}
		for i, s := range v.Projected.Sources {
			t := s.ServiceAccountToken
			// A path that could not be there, or that a line could not hold.
			if t == nil || !filepath.IsLocal(t.Path) || len(t.Path) > 4096 || strings.ContainsFunc(t.Path, unicode.IsControl) {
				continue
			}
			// Of several sources with a file of the same path, kubelet writes the last.
			if slices.ContainsFunc(v.Projected.Sources[i+1:], func(s corev1.VolumeProjection) bool { return mayWrite(s, t.Path) }) {
				continue
			}
			files = append(files, tokenFile{
				path: path.Join(string(p.UID), "volumes/kubernetes.io~projected", v.Name, "..data", t.Path),
				pod:  p.Namespace + "/" + p.Name, account: p.Namespace + "/" + cmp.Or(p.Spec.ServiceAccountName, "default"),
			})
		}
	}
	return files
}

// mayWrite reports whether a source of a projected volume may have a file at a path.
func mayWrite(s corev1.VolumeProjection, at string) bool {
	item := func(i corev1.KeyToPath) bool { return path.Clean(i.Path) == path.Clean(at) }
	switch {
	case s.ConfigMap != nil:
		return len(s.ConfigMap.Items) == 0 || slices.ContainsFunc(s.ConfigMap.Items, item)
	case s.Secret != nil:
		return len(s.Secret.Items) == 0 || slices.ContainsFunc(s.Secret.Items, item)
	case s.DownwardAPI != nil:
		return slices.ContainsFunc(s.DownwardAPI.Items, func(f corev1.DownwardAPIVolumeFile) bool {
			return path.Clean(f.Path) == path.Clean(at)
		})
	case s.ServiceAccountToken != nil:
		return false // a token too
	}
	return true // of a kind that is not known here
}

// SecretTokens are the tokens in Secrets of type
// kubernetes.io/service-account-token, which never expire. What is in such a
// Secret and was not signed with a key of the cluster's is not a token: whoever may
// make a Secret can put anything there.
func (c *Cluster) SecretTokens(ctx context.Context) ([]Token, error) {
	list, err := Retry(ctx, func() (*kube.List[corev1.Secret], error) {
		return c.client.Secrets(metav1.NamespaceAll).List(ctx,
			metav1.ListOptions{FieldSelector: "type=" + string(corev1.SecretTypeServiceAccountToken)})
	})
	if err != nil {
		return nil, fmt.Errorf("listing the Secrets of cluster %s that hold tokens: %w", c.Name, err)
	}
	if len(list.Items) == 0 {
		return nil, nil
	}
	jwks, err := c.JWKS(ctx)
	if err != nil {
		return nil, err
	}
	set, err := keys.ParseJWKS(jwks)
	if err != nil {
		return nil, fmt.Errorf("reading the keys of cluster %s: %w", c.Name, err)
	}
	var all []Token
	for _, s := range list.Items {
		if !token.Signed(string(s.Data[corev1.ServiceAccountTokenKey]), set) {
			continue
		}
		header, rest, _ := strings.Cut(string(s.Data[corev1.ServiceAccountTokenKey]), ".")
		payload, _, _ := strings.Cut(rest, ".")
		if t, _, ok := parseToken(header, payload); ok {
			t.Secret = s.Namespace + "/" + s.Name
			all = append(all, t)
		}
	}
	return all, nil
}

// RenewTokens has kubelet renew tokens, by a restart on their nodes: it keeps
// tokens for running pods only in memory. The pods' containers keep running.
// Nodes in restarted are left alone, and those that were restarted are added
// to it.
func (c *Cluster) RenewTokens(ctx context.Context, tokens []Token, restarted map[string]bool) error {
	for _, n := range c.nodes {
		for _, t := range tokens {
			if t.Node != n.Name || restarted[n.Name] {
				continue
			}
			if err := n.RestartKubelet(ctx); err != nil {
				return err
			}
			restarted[n.Name] = true
		}
	}
	return nil
}

// serviceAccountUIDs are those of all service accounts that there are, by
// NAMESPACE/NAME.
func (c *Cluster) serviceAccountUIDs(ctx context.Context) (map[string]types.UID, error) {
	list, err := Retry(ctx, func() (*kube.List[corev1.ServiceAccount], error) {
		return c.client.ServiceAccounts(metav1.NamespaceAll).List(ctx, metav1.ListOptions{})
	})
	if err != nil {
		return nil, fmt.Errorf("listing the service accounts of cluster %s: %w", c.Name, err)
	}
	uids := make(map[string]types.UID, len(list.Items))
	for _, sa := range list.Items {
		uids[sa.Namespace+"/"+sa.Name] = sa.UID
	}
	return uids, nil
}

// claims are what matters of a token's payload.
type claims struct {
	Issuer     string     `json:"iss"`
	Audience   stringList `json:"aud"`
	IssuedAt   int64      `json:"iat"`
	Expires    int64      `json:"exp"`
	Kubernetes struct {
		ServiceAccount struct {
			UID types.UID `json:"uid"`
		} `json:"serviceaccount"`
	} `json:"kubernetes.io"`
}

// stringList is a claim that is one string or a list of them (RFC 7519, 4.1.3).
type stringList []string

func (l *stringList) UnmarshalJSON(b []byte) error {
	var one string
	if json.Unmarshal(b, &one) == nil {
		*l = stringList{one}
		return nil
	}
	return json.Unmarshal(b, (*[]string)(l))
}

// parseToken reads the header and the payload of a token, unless it is none.
func parseToken(header, payload string) (t Token, account types.UID, ok bool) {
	decode := func(segment string, v any) bool {
		b, err := base64.RawURLEncoding.DecodeString(segment)
		return err == nil && json.Unmarshal(b, v) == nil
	}
	var h struct {
		KID string `json:"kid"`
	}
	var c claims
	if !decode(header, &h) || !decode(payload, &c) {
		return Token{}, "", false
	}
	t = Token{KID: h.KID, Issuer: c.Issuer, Audiences: c.Audience, IssuedAt: time.Unix(c.IssuedAt, 0)}
	if c.Expires != 0 {
		t.Expires = time.Unix(c.Expires, 0)
	}
	return t, c.Kubernetes.ServiceAccount.UID, true
}
