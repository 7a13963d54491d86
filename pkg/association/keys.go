package association

import (
	"context"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"
)

const (
	// early is how long before their end keys are replaced, as the AWS SDK for Go does.
	early = 5 * time.Minute
	// again is when that is tried again while the former ones are good.
	again = 10 * time.Second
	// maxToken bounds the file with a token, in bytes.
	maxToken = 64 << 10
)

// Keys are AWS credentials.
type Keys struct {
	AccessKeyID, Secret string
	SessionToken        string    // "" for the keys of a user
	Expires             time.Time // zero: never
}

// fixed are keys that are never replaced.
func fixed(k Keys) func(context.Context, string) (Keys, error) {
	return func(context.Context, string) (Keys, error) { return k, nil }
}

// webIdentity gets the keys of a role for a token in a file.
type webIdentity struct {
	endpoint, role, tokenFile, session string
	userAgent                          string
	http                               *http.Client

	turn  chan struct{} // has an element while the fields below are in use
	keys  Keys
	tried time.Time
}

// get is a [Client.Keys].
func (w *webIdentity) get(ctx context.Context, refused string) (Keys, error) {
	select {
	case w.turn <- struct{}{}:
		defer func() { <-w.turn }()
	case <-ctx.Done():
		return Keys{}, context.Cause(ctx)
	}
	now := time.Now()
	good := w.keys.AccessKeyID != "" && now.Before(w.keys.Expires) && w.keys.AccessKeyID != refused
	if good && (now.Before(w.keys.Expires.Add(-early)) || now.Before(w.tried.Add(again))) {
		return w.keys, nil
	}
	w.tried = now
	keys, err := w.ask(ctx)
	if err != nil {
		if good {
			return w.keys, nil
		}
		return Keys{}, err
	}
	w.keys = keys
	return keys, nil
}

// ask calls AssumeRoleWithWebIdentity, which is not signed.
func (w *webIdentity) ask(ctx context.Context) (Keys, error) {
	token, err := readToken(w.tokenFile)
	if err != nil {
		return Keys{}, fmt.Errorf("reading the token: %w", err)
	}
	form := url.Values{
		"Action": {"AssumeRoleWithWebIdentity"}, "Version": {"2011-06-15"},
		"RoleArn": {w.role}, "RoleSessionName": {w.session}, "WebIdentityToken": {token},
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, strings.TrimSuffix(w.endpoint, "/")+"/", strings.NewReader(form.Encode()))
	if err != nil {
		return Keys{}, err
	}
	request.Header.Set("Content-Type", "application/x-www-form-urlencoded; charset=utf-8")
	request.Header.Set("User-Agent", w.userAgent)
	body, err := send(w.http, request)
	if err != nil {
		return Keys{}, fmt.Errorf("assuming role %s: %w", w.role, err)
	}
	var answer struct {
		Result struct {
			AccessKeyID string    `xml:"AccessKeyId"`
			Secret      string    `xml:"SecretAccessKey"`
			Token       string    `xml:"SessionToken"`
			Expiration  time.Time `xml:"Expiration"`
		} `xml:"AssumeRoleWithWebIdentityResult>Credentials"`
	}
	if err := xml.Unmarshal(body, &answer); err != nil {
		return Keys{}, fmt.Errorf("assuming role %s: reading the answer: %w", w.role, err)
	}
	r := answer.Result
	k := Keys{AccessKeyID: r.AccessKeyID, Secret: r.Secret, SessionToken: r.Token, Expires: r.Expiration}
	if k.AccessKeyID == "" || k.Secret == "" || k.SessionToken == "" || k.Expires.IsZero() {
		return Keys{}, fmt.Errorf("assuming role %s: the answer has no credentials", w.role)
	}
	return k, nil
}

// readToken reads the token anew each time: kubelet replaces it.
func readToken(file string) (string, error) {
	f, err := os.Open(file)
	if err != nil {
		return "", err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxToken+1))
	switch {
	case err != nil:
		return "", err
	case len(b) > maxToken:
		return "", fmt.Errorf("%s has more than %d bytes", file, maxToken)
	case len(strings.TrimSpace(string(b))) == 0:
		return "", errors.New(file + " is empty")
	}
	return strings.TrimSpace(string(b)), nil
}
