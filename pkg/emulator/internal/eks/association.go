package eks

import (
	"cmp"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"strings"
	"time"
)

// Association says which role the pods of a service account get. It never changes; a
// change makes another.
type Association struct {
	Cluster            string // ARN
	ID                 string
	Namespace          string
	ServiceAccount     string
	RoleARN            string
	TargetRoleARN      string            `json:",omitempty"`
	Policy             string            `json:",omitempty"` // a session policy, "" for none
	DisableSessionTags bool              `json:",omitempty"`
	Tags               map[string]string `json:",omitempty"`
	Created            time.Time
	Modified           time.Time
	// Token is the clientRequestToken that it was made with, and Asked a digest of what
	// was asked for then.
	Token string `json:",omitempty"`
	Asked string `json:",omitempty"`
}

// tokenAge is how long a clientRequestToken stands for the call that had it first.
const tokenAge = 24 * time.Hour

// older is the order of lists.
func older(a, b *Association) int {
	return cmp.Or(a.Created.Compare(b.Created), strings.Compare(a.ID, b.ID))
}

// newAssociationID makes an id: "a-" and 17 letters or digits.
func newAssociationID() string {
	const alphabet = "abcdefghijklmnopqrstuvwxyz0123456789"
	id := []byte("a-")
	var b [1]byte
	for len(id) < idLength {
		rand.Read(b[:])
		if int(b[0]) < 256/len(alphabet)*len(alphabet) { // each is as likely as the others
			id = append(id, alphabet[int(b[0])%len(alphabet)])
		}
	}
	return string(id)
}

func (s *Service) associationARN(c *Cluster, id string) string {
	return s.arn(c.Account, c.Region, "podidentityassociation/"+c.Name+"/"+id)
}

// AssociationARN is the ARN of an association of a cluster.
func (s *Service) AssociationARN(c *Cluster, a *Association) string { return s.associationARN(c, a.ID) }

// ExternalID is the sts:ExternalId with which EKS Pod Identity assumes the target role
// of an association (User Guide, "Access AWS Resources using EKS Pod Identity Target IAM
// Roles"): REGION/ACCOUNT/CLUSTER/NAMESPACE/SERVICEACCOUNT.
func (c *Cluster) ExternalID(namespace, serviceAccount string) string {
	return strings.Join([]string{c.Region, c.Account, c.Name, namespace, serviceAccount}, "/")
}

// associationView is an association as the API shows it.
type associationView struct {
	ClusterName    string            `json:"clusterName"`
	Namespace      string            `json:"namespace"`
	ServiceAccount string            `json:"serviceAccount"`
	RoleARN        string            `json:"roleArn"`
	ARN            string            `json:"associationArn"`
	ID             string            `json:"associationId"`
	Tags           map[string]string `json:"tags"`
	CreatedAt      float64           `json:"createdAt"`
	ModifiedAt     float64           `json:"modifiedAt"`

	DisableSessionTags bool   `json:"disableSessionTags"`
	TargetRoleARN      string `json:"targetRoleArn,omitempty"`
	ExternalID         string `json:"externalId,omitempty"`
	Policy             string `json:"policy,omitempty"`
}

type associationOutput struct {
	Association associationView `json:"association"`
}

func (s *Service) show(c *Cluster, a *Association) associationOutput {
	v := associationView{
		ClusterName: c.Name, Namespace: a.Namespace, ServiceAccount: a.ServiceAccount, RoleARN: a.RoleARN, ARN: s.associationARN(c, a.ID),
		ID: a.ID, Tags: orEmpty(a.Tags), CreatedAt: seconds(a.Created), ModifiedAt: seconds(a.Modified),
		DisableSessionTags: a.DisableSessionTags, TargetRoleARN: a.TargetRoleARN, Policy: a.Policy,
	}
	if a.TargetRoleARN != "" {
		v.ExternalID = c.ExternalID(a.Namespace, a.ServiceAccount)
	}
	return associationOutput{v}
}

// digest tells what was asked for from other things that can be.
func (in *createInput) digest() string {
	asked := *in
	asked.ClientRequestToken = ""
	text, err := json.Marshal(asked) // maps in the order of their keys
	if err != nil {
		return ""
	}
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:])
}

// byToken is the association that a clientRequestToken made and that is no older than
// tokenAge; nil if there is none.
func (r *room) byToken(token string, now time.Time) *Association {
	if token == "" {
		return nil
	}
	for _, a := range r.byID {
		if a.Token == token && now.Sub(a.Created) < tokenAge {
			return a
		}
	}
	return nil
}
