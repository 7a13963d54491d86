package cluster

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// Token is what a token says of itself. The token as such never leaves the
// place where it is.
type Token struct {
	// Node is the node on which kubelet keeps the token, and Pod the pod that
	// it is for, NAMESPACE/NAME, or its uid where the token does not say. Both
	// are empty for the token of a Secret.
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
func (c *Cluster) ProjectedTokens(ctx context.Context) ([]Token, error) {
	if len(c.nodes) == 0 {
		return nil, nil
	}
	accounts, err := c.serviceAccountUIDs(ctx)
	if err != nil {
		return nil, err
	}
	var all []Token
	for _, n := range c.nodes {
		there, err := n.projectedTokens(ctx)
		if err != nil {
			return nil, err
		}
		for _, p := range there {
			t, account, ok := parseToken(p.header, p.payload)
			if !ok || !accounts[account] || !t.Expires.IsZero() && time.Now().After(t.Expires) {
				continue
			}
			t.Node = n.Name
			if t.Pod == "" {
				t.Pod = p.uid
			}
			all = append(all, t)
		}
	}
	return all, nil
}

// SecretTokens are the tokens in Secrets of type
// kubernetes.io/service-account-token, which never expire.
func (c *Cluster) SecretTokens(ctx context.Context) ([]Token, error) {
	list, err := retry(ctx, func() (*corev1.SecretList, error) {
		return c.client.CoreV1().Secrets(metav1.NamespaceAll).List(ctx, metav1.ListOptions{FieldSelector: "type=" + string(corev1.SecretTypeServiceAccountToken)})
	})
	if err != nil {
		return nil, fmt.Errorf("listing the Secrets of cluster %s that hold tokens: %w", c.Name, err)
	}
	var all []Token
	for _, s := range list.Items {
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
// tokens for running pods in memory alone. The pods' containers go on running.
// Nodes in restarted are left alone, and those that were restarted are added
// to it.
func (c *Cluster) RenewTokens(ctx context.Context, tokens []Token, restarted map[string]bool) error {
	for _, n := range c.nodes {
		for _, t := range tokens {
			if t.Node != n.Name || restarted[n.Name] {
				continue
			}
			if err := n.restartKubelet(ctx); err != nil {
				return err
			}
			restarted[n.Name] = true
		}
	}
	return nil
}

// serviceAccountUIDs are those of all service accounts that there are.
func (c *Cluster) serviceAccountUIDs(ctx context.Context) (map[types.UID]bool, error) {
	list, err := retry(ctx, func() (*corev1.ServiceAccountList, error) {
		return c.client.CoreV1().ServiceAccounts(metav1.NamespaceAll).List(ctx, metav1.ListOptions{})
	})
	if err != nil {
		return nil, fmt.Errorf("listing the service accounts of cluster %s: %w", c.Name, err)
	}
	uids := make(map[types.UID]bool, len(list.Items))
	for _, sa := range list.Items {
		uids[sa.UID] = true
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
		Namespace string `json:"namespace"`
		Pod       struct {
			Name string `json:"name"`
		} `json:"pod"`
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
	if c.Kubernetes.Pod.Name != "" {
		t.Pod = c.Kubernetes.Namespace + "/" + c.Kubernetes.Pod.Name
	}
	return t, c.Kubernetes.ServiceAccount.UID, true
}
