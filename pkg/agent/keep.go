package agent

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"time"
)

// keep stores the credentials that EKS Auth has given for a token, and returns the
// answer for those who wait. Former tokens of the same pod, which EKS Auth had accepted
// too, get them as well.
func (a *Agent) keep(q question, c *Credentials) answer {
	now := time.Now()
	life := c.Expires.Sub(now)
	if life <= minLife {
		a.config.Log.Error("credentials expire at once", q.attributes("expires", c.Expires)...)
		return refuse(http.StatusInternalServerError,
			fmt.Sprintf("fetched credentials are expired or will expire within the next %0.2f seconds", life.Seconds()))
	}
	body, err := encode(c)
	if err != nil {
		return refuse(http.StatusInternalServerError, "Unable to serialize credentials")
	}
	a.config.Log.Info("credentials were fetched", q.attributes("association", c.Association, "expires", c.Expires)...)
	result := answer{http.StatusOK, body}
	if a.config.CacheSize < 0 {
		return result
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.refused.drop(q.digest)
	e := a.entryOf(q, c)
	e.accept(a.tokens, accepted{q.digest, q.claims}, q.token)
	e.asked = now
	e.set(body, c.Expires, now, a.config.RenewAfter)
	a.config.Metrics.kept(a.pods.len())
	return result
}

// entryOf finds the entry of a token's pod, or makes one; the mutex is held. The claims
// count now that EKS Auth has accepted the token, unless it sees another service account
// in it than we do.
func (a *Agent) entryOf(q question, c *Credentials) *entry {
	if e := a.tokens[q.digest]; e != nil {
		return e
	}
	pod := q.claims.identity
	if !pod.known() || c.Namespace != pod.namespace || c.ServiceAccount != pod.account {
		pod = identity{issuer: string(q.digest[:])} // of no other token
	}
	if e, ok := a.pods.get(pod); ok {
		return e
	}
	e := &entry{pod: pod, share: newShare()}
	if old, full := a.pods.put(pod, e); full {
		a.unlink(old)
		a.config.Metrics.evicted()
	}
	return e
}

// accept adds a token to those of the pod.
func (e *entry) accept(tokens map[digest]*entry, t accepted, token string) {
	if e.newest == "" || t.claims.newer(e.claims) {
		e.newest, e.claims = token, t.claims
	}
	if tokens[t.digest] == e {
		return
	}
	tokens[t.digest] = e
	e.accepted = append(e.accepted, t)
	if len(e.accepted) > tokensOfPod {
		oldest := 0
		for i := range e.accepted {
			if e.accepted[oldest].claims.newer(e.accepted[i].claims) {
				oldest = i
			}
		}
		delete(tokens, e.accepted[oldest].digest)
		e.accepted = slices.Delete(e.accepted, oldest, oldest+1)
	}
}

// set puts credentials into an entry.
func (e *entry) set(body []byte, expires, now time.Time, most time.Duration) {
	e.body, e.expires, e.life = body, expires, expires.Sub(now)
	e.renew = now.Add(renewAfter(e.life, most))
}

// renewAfter is how long credentials with so much life are kept before they are renewed.
// SDKs ask again from fifteen minutes before the end on (botocore's advisory refresh),
// and are to find new ones then. A tenth of it is left to chance, so that pods that have
// started together are not renewed together.
func renewAfter(life, most time.Duration) time.Duration {
	after := min(life-min(20*time.Minute, life/2), most)
	if after < 10 {
		return after
	}
	return after - rand.N(after/10)
}

// unlink forgets the tokens of an entry that is no longer among the pods; the mutex is
// held.
func (a *Agent) unlink(e *entry) {
	for _, t := range e.accepted {
		delete(a.tokens, t.digest)
	}
	e.body, e.newest, e.accepted = nil, "", nil
}

// drop forgets a pod; the mutex is held.
func (a *Agent) drop(e *entry) {
	a.pods.drop(e.pod)
	a.unlink(e)
	a.config.Metrics.kept(a.pods.len())
}

// failed keeps EKS Auth's no to a token, and returns the answer for those who wait.
func (a *Agent) failed(q question, err error) answer {
	if err == errBusy {
		return tooMany
	}
	now, f := time.Now(), failure(err)
	result := answer{f.status(), []byte(f.text())}
	a.config.Log.Warn("no credentials", q.attributes("status", f.Status, "code", f.Code, "request", f.RequestID, "error", f)...)
	if f.aboutToken() {
		q.share.refused.ReserveN(now, 1) // also of those that are under way at a time
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if f.lasts() && a.config.RefusalsKept > 0 {
		a.refused.put(q.digest, refusal{result, now.Add(a.config.RefusalsKept)})
	}
	if e := a.tokens[q.digest]; e != nil {
		a.config.Metrics.cacheError(f)
		if f.final() {
			a.disown(e, q.digest, f)
		}
	}
	return result
}

// disown forgets a pod that is to have no credentials any more, or only the token if
// another one of the pod may still be good; the mutex is held.
func (a *Agent) disown(e *entry, d digest, f *Failure) {
	last := slices.IndexFunc(e.accepted, func(t accepted) bool { return t.claims.newer(claimsOf(e, d)) }) < 0
	if f.aboutPod() || last {
		a.drop(e)
		return
	}
	delete(a.tokens, d)
	e.accepted = slices.DeleteFunc(e.accepted, func(t accepted) bool { return t.digest == d })
}

func claimsOf(e *entry, d digest) claims {
	for _, t := range e.accepted {
		if t.digest == d {
			return t.claims
		}
	}
	return claims{}
}

// encode writes credentials as SDKs read them.
func encode(c *Credentials) ([]byte, error) {
	return json.Marshal(struct {
		AccessKeyID     string `json:"AccessKeyId,omitempty"`
		SecretAccessKey string `json:",omitempty"`
		Token           string `json:",omitempty"`
		AccountID       string `json:"AccountId,omitempty"`
		Expiration      time.Time
	}{c.AccessKeyID, c.SecretAccessKey, c.SessionToken, c.AccountID, c.Expires.UTC()})
}

// attributes are those of the log for a token: whose it says that it is, and more.
func (q question) attributes(more ...any) []any {
	return q.claims.attributes(more...)
}

func (i identity) attributes(more ...any) []any {
	short := func(s string) string { return s[:min(len(s), 253)] } // of names in Kubernetes, and a stranger's
	return append([]any{"namespace", short(i.namespace), "serviceAccount", short(i.account), "pod", short(i.pod)}, more...)
}
