package gather

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/openirsa/openirsa/pkg/account"
	"github.com/openirsa/openirsa/pkg/doctor"
	"github.com/openirsa/openirsa/pkg/irsa"
)

// patience is how long EKS Auth may take to answer.
const patience = 10 * time.Second

// exchange does what an agent does with the token of a pod of the service account, for
// which a new one is asked for. Neither it nor the credentials are kept.
func (e *Examination) exchange(ctx context.Context, f *doctor.Facts) {
	if e.chain.Account == nil || f.PodIdentity.Association == nil || f.PodIdentity.EKS == nil {
		return
	}
	i := slices.IndexFunc(f.Pods, func(p corev1.Pod) bool { return p.Spec.NodeName != "" })
	if i < 0 {
		return
	}
	pod := &f.Pods[i]
	request := &authenticationv1.TokenRequest{ObjectMeta: metav1.ObjectMeta{Name: f.Name}, Spec: authenticationv1.TokenRequestSpec{
		Audiences: []string{irsa.CredentialsAudience}, ExpirationSeconds: new(int64(irsa.MinExpirationSeconds)),
		BoundObjectRef: &authenticationv1.BoundObjectReference{APIVersion: "v1", Kind: "Pod", Name: pod.Name, UID: pod.UID},
	}}
	x := &doctor.Exchange{Pod: pod.Namespace + "/" + pod.Name}
	f.PodIdentity.Exchange = x
	got, err := e.chain.Cluster.Client().Tokens(f.Namespace).Create(ctx, request, metav1.CreateOptions{})
	if err != nil {
		x.Err = err
		return
	}
	e.exchanged(ctx, &f.PodIdentity, got.Status.Token)
}

// exchanged asks EKS Auth about a token, and who that makes.
func (e *Examination) exchanged(ctx context.Context, p *doctor.PodIdentity, token string) {
	x, config := p.Exchange, e.chain.Account.Config.Copy()
	response, body, err := e.ask(ctx, p, token)
	if err != nil {
		x.Err = err
		return
	}
	var said struct {
		Type        string `json:"__type"`
		Message     string `json:"message"`
		Credentials struct {
			AccessKeyID     string `json:"accessKeyId"`
			SecretAccessKey string `json:"secretAccessKey"`
			SessionToken    string `json:"sessionToken"`
		} `json:"credentials"`
	}
	err = json.Unmarshal(body, &said)
	if response.StatusCode != http.StatusOK {
		// The code may have what it is of before it, and a URI behind it (AWS restJson1
		// protocol, "Operation error serialization").
		code, _, _ := strings.Cut(cmp.Or(response.Header.Get("X-Amzn-Errortype"), said.Type, response.Status), ":")
		x.Status, x.Code, x.Message = response.StatusCode, code[strings.LastIndexByte(code, '#')+1:], said.Message
		x.Reason = e.explained(ctx, response.Header.Get("X-Amzn-Requestid"))
		return
	}
	if err != nil {
		x.Err = err
		return
	}
	c := said.Credentials
	config.Region, config.Credentials = p.Region, credentials.NewStaticCredentialsProvider(c.AccessKeyID, c.SecretAccessKey, c.SessionToken)
	who, err := sts.NewFromConfig(config).GetCallerIdentity(ctx, &sts.GetCallerIdentityInput{})
	if err != nil {
		x.IdentityErr = account.Cause(err)
		return
	}
	x.Identity = aws.ToString(who.Arn)
}

// ask calls AssumeRoleForPodIdentity (EKS Auth API Reference), signed with the credentials
// in use. It is the one call of the service, which is not worth the SDK's library for it.
func (e *Examination) ask(ctx context.Context, p *doctor.PodIdentity, token string) (*http.Response, []byte, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	config := e.chain.Account.Config
	address := strings.TrimSuffix(aws.ToString(config.BaseEndpoint), "/")
	if address == "" {
		address = eksAuth(p.Region)
	}
	sent, err := json.Marshal(map[string]string{"token": token})
	if err != nil {
		return nil, nil, err
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost,
		address+"/clusters/"+url.PathEscape(p.Cluster)+"/assume-role-for-pod-identity", bytes.NewReader(sent))
	if err != nil {
		return nil, nil, err
	}
	request.Header.Set("Content-Type", "application/json")
	own, err := config.Credentials.Retrieve(ctx)
	if err != nil {
		return nil, nil, err
	}
	sum := sha256.Sum256(sent)
	if err := v4.NewSigner().SignHTTP(ctx, own, request, hex.EncodeToString(sum[:]), "eks-auth", p.Region, time.Now()); err != nil {
		return nil, nil, err
	}
	var client aws.HTTPClient = http.DefaultClient
	if config.HTTPClient != nil {
		client = config.HTTPClient
	}
	response, err := client.Do(request)
	if err != nil {
		return nil, nil, err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(io.LimitReader(response.Body, maxDocument))
	return response, body, err
}

// eksAuth is where AWS has EKS Auth: at the dual-stack names alone (the service model).
func eksAuth(region string) string {
	suffix := "api.aws"
	if strings.HasPrefix(region, "cn-") {
		suffix = "api.amazonwebservices.com.cn"
	}
	return "https://eks-auth." + region + "." + suffix
}
