package emulatortest

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"

	"github.com/openirsa/openirsa/pkg/emulator"
	"github.com/openirsa/openirsa/pkg/keys"
	"github.com/openirsa/openirsa/pkg/token"
)

// PodCluster is the name of the cluster that [AWS.PodIdentity] registers with the
// emulator's EKS, and PodIssuer the issuer of its tokens, which nobody has to reach:
// its key is registered with it.
const (
	PodCluster = "emulatortest"
	PodIssuer  = "https://emulatortest.example/" + PodCluster
)

// PodAudience is who the tokens of [AWS.PodIdentity] are for.
const PodAudience = "pods.eks.amazonaws.com"

// pods is what signs the tokens of the cluster, once it is registered.
type pods struct {
	once sync.Once
	key  keys.Private
}

// PodIdentity associates a role with a service account by EKS Pod Identity, and is the
// token of a pod of it that is good for an hour, as an agent exchanges it with
// AssumeRoleForPodIdentity for the cluster [PodCluster]. The trust policy of the role
// must name the service pods.eks.amazonaws.com, such as [PodTrust]. Of a service account
// that has an association already, the role is the one that is given now.
func (a *AWS) PodIdentity(namespace, serviceAccount, roleARN string) string {
	a.t.Helper()
	key := a.podKey()
	path := "/clusters/" + PodCluster + "/pod-identity-associations"
	var there struct {
		Associations []struct {
			ID string `json:"associationId"`
		} `json:"associations"`
	}
	a.check(a.eks("eks", http.MethodGet, path+"?namespace="+namespace+"&serviceAccount="+serviceAccount, nil, &there))
	body := map[string]string{"roleArn": roleARN}
	if len(there.Associations) > 0 {
		path += "/" + there.Associations[0].ID
	} else {
		body["namespace"], body["serviceAccount"] = namespace, serviceAccount
	}
	a.check(a.eks("eks", http.MethodPost, path, body, nil))

	now := a.Now()
	signed, err := token.Mint(key, token.Claims{
		Issuer:    PodIssuer,
		Subject:   token.Subject(namespace, serviceAccount),
		Audience:  []string{PodAudience},
		IssuedAt:  token.At(now),
		NotBefore: token.At(now),
		Expiry:    token.At(now.Add(time.Hour)),
		Kubernetes: token.Kubernetes{
			Namespace:      namespace,
			ServiceAccount: &token.Ref{Name: serviceAccount, UID: "00000000-0000-4000-8000-000000000001"},
			Pod:            &token.Ref{Name: serviceAccount + "-0", UID: "00000000-0000-4000-8000-000000000002"},
			Node:           &token.Ref{Name: "node", UID: "00000000-0000-4000-8000-000000000003"},
		},
	})
	a.check(err)
	return signed
}

// podKey registers the cluster, and is the key that signs its tokens.
func (a *AWS) podKey() keys.Private {
	a.t.Helper()
	a.pods.once.Do(func() {
		var err error
		a.pods.key, err = keys.Generate("ES256")
		a.check(err)
	})
	set, err := keys.NewSet(a.pods.key.Public())
	a.check(err)
	// Each time, since the emulator may have been emptied meanwhile.
	_, err = a.RegisterCluster(emulator.EKSCluster{Name: PodCluster, Region: Region, Issuer: PodIssuer, JWKS: set.JWKS()})
	a.check(err)
	return a.pods.key
}

// PodTrust is a trust policy for EKS Pod Identity. It pins one service account of the
// cluster [PodCluster].
func (a *AWS) PodTrust(namespace, serviceAccount string) string {
	return Document(map[string]any{
		"Effect":    "Allow",
		"Principal": map[string]string{"Service": PodAudience},
		"Action":    []string{"sts:AssumeRole", "sts:TagSession"},
		"Condition": map[string]any{"StringEquals": map[string]string{
			"aws:RequestTag/eks-cluster-name":           PodCluster,
			"aws:RequestTag/kubernetes-namespace":       namespace,
			"aws:RequestTag/kubernetes-service-account": serviceAccount,
		}},
	})
}

// PodSession exchanges the token of a pod, as an agent does, here with the root user's
// credentials. It is the configuration of a client with the credentials of the pod.
func (a *AWS) PodSession(podToken string) (aws.Config, error) {
	a.t.Helper()
	var out struct {
		Credentials struct {
			AccessKeyID     string `json:"accessKeyId"`
			SecretAccessKey string `json:"secretAccessKey"`
			SessionToken    string `json:"sessionToken"`
		} `json:"credentials"`
	}
	path := "/clusters/" + PodCluster + "/assume-role-for-pod-identity"
	if err := a.eks("eks-auth", http.MethodPost, path, map[string]string{"token": podToken}, &out); err != nil {
		return aws.Config{}, err
	}
	c := out.Credentials
	return a.ConfigFor(c.AccessKeyID, c.SecretAccessKey, c.SessionToken), nil
}

// eks calls EKS or EKS Auth as the root user.
func (a *AWS) eks(service, method, path string, in, out any) error {
	var body []byte
	var err error
	if in != nil {
		if body, err = json.Marshal(in); err != nil {
			return err
		}
	}
	ctx := context.Background()
	r, err := http.NewRequestWithContext(ctx, method, a.URL+path, bytes.NewReader(body))
	if err != nil {
		return err
	}
	r.Header.Set("Content-Type", "application/json")
	root, err := a.Config().Credentials.Retrieve(ctx)
	if err != nil {
		return err
	}
	sum := sha256.Sum256(body)
	if err := v4.NewSigner().SignHTTP(ctx, root, r, hex.EncodeToString(sum[:]), service, Region, time.Now()); err != nil {
		return err
	}
	resp, err := a.client.Do(r)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	switch {
	case err != nil:
		return fmt.Errorf("calling %s: %w", service, err)
	case resp.StatusCode != http.StatusOK:
		return &PodIdentityError{Status: resp.StatusCode, Code: resp.Header.Get("x-amzn-ErrorType"), Body: string(text)}
	case out == nil:
		return nil
	}
	return json.Unmarshal(text, out)
}

// PodIdentityError is an answer of EKS or EKS Auth that is an error.
type PodIdentityError struct {
	Status int    // HTTP status
	Code   string // such as "AccessDeniedException"
	Body   string
}

func (e *PodIdentityError) Error() string { return fmt.Sprintf("%d %s: %s", e.Status, e.Code, e.Body) }
