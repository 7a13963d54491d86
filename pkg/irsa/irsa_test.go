package irsa_test

import (
	"errors"
	"maps"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/openirsa/openirsa/pkg/irsa"
)

const role = "arn:aws:iam::123456789012:role/list-iam-groups"

func TestIdentity(t *testing.T) {
	p := irsa.DefaultPrefix
	day := irsa.Identity{RoleARN: role, Audience: "sts.amazonaws.com", ExpirationSeconds: 86400}
	with := func(change func(*irsa.Identity)) irsa.Identity {
		id := day
		change(&id)
		return id
	}
	var noDefaults irsa.Defaults
	read := func(name string, annotations map[string]string, d irsa.Defaults, want irsa.Identity, warnings int) {
		t.Run(name, func(t *testing.T) {
			id, w, err := p.Identity(annotations, d)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(want, id); diff != "" {
				t.Error(diff)
			}
			if len(w) != warnings {
				t.Errorf("warnings %q, want %d", w, warnings)
			}
		})
	}
	annotated := func(kv ...string) map[string]string {
		m := map[string]string{"eks.amazonaws.com/role-arn": role}
		for i := 0; i < len(kv); i += 2 {
			m["eks.amazonaws.com/"+kv[i]] = kv[i+1]
		}
		return m
	}
	read("nothing", nil, noDefaults, irsa.Identity{}, 0)
	read("no role", map[string]string{"eks.amazonaws.com/audience": "x"}, noDefaults, irsa.Identity{}, 0)
	read("empty role", annotated("role-arn", ""), noDefaults, irsa.Identity{}, 0)
	read("role", annotated(), noDefaults, day, 0)
	read("audience", annotated("audience", "https://vault.example"), noDefaults,
		with(func(id *irsa.Identity) { id.Audience = "https://vault.example" }), 0)
	read("empty audience is the default", annotated("audience", ""), irsa.Defaults{Audience: "other"},
		with(func(id *irsa.Identity) { id.Audience = "other" }), 0)
	read("expiration", annotated("token-expiration", "3600"), noDefaults,
		with(func(id *irsa.Identity) { id.ExpirationSeconds = 3600 }), 0)
	read("expiration under the floor", annotated("token-expiration", "-5"), noDefaults,
		with(func(id *irsa.Identity) { id.ExpirationSeconds = 600 }), 1)
	read("default expiration", annotated(), irsa.Defaults{ExpirationSeconds: 7200},
		with(func(id *irsa.Identity) { id.ExpirationSeconds = 7200 }), 0)
	read("regional", annotated("sts-regional-endpoints", "true"), noDefaults,
		with(func(id *irsa.Identity) { id.RegionalSTS = true }), 0)
	read("not regional against the default", annotated("sts-regional-endpoints", "false"), irsa.Defaults{RegionalSTS: true}, day, 0)
	read("unreadable regional is ignored", annotated("sts-regional-endpoints", "yes please"), irsa.Defaults{RegionalSTS: true},
		with(func(id *irsa.Identity) { id.RegionalSTS = true }), 1)

	// A mistake in a detail does not take a working identity away.
	read("an audience with a blank is the default", annotated("audience", "sts.amazonaws.com "), irsa.Defaults{Audience: "other"},
		with(func(id *irsa.Identity) { id.Audience = "other" }), 1)
	for _, aud := range []string{strings.Repeat("a", 256), "a\nb", " "} {
		read("audience "+aud[:1], annotated("audience", aud), noDefaults, day, 1)
	}
	for _, life := range []string{"1h", "", " 3600", "4294967297", "99999999999999999999"} {
		read("expiration "+life, annotated("token-expiration", life), noDefaults, day, 1)
	}
	read("session", annotated("role-session-name", "true"), noDefaults, with(func(id *irsa.Identity) { id.PodSession = true }), 0)
	read("no session", annotated("role-session-name", "false"), irsa.Defaults{PodSession: true}, day, 0)
	read("unreadable session", annotated("role-session-name", "my-app"), noDefaults, day, 1)

	foreign := irsa.Defaults{ForeignRoles: true}
	read("a role of Ceph RGW", annotated("role-arn", "arn:aws:iam:::role/app"), foreign, with(func(id *irsa.Identity) { id.RoleARN = "arn:aws:iam:::role/app" }), 0)

	reject := func(key, value string) {
		t.Run("reject "+key+" "+value[:min(len(value), 40)], func(t *testing.T) {
			id, _, err := p.Identity(annotated(key, value), noDefaults)
			ae, ok := errors.AsType[*irsa.AnnotationError](err)
			if !ok || ae.Key != "eks.amazonaws.com/"+key || ae.Value != value {
				t.Errorf("got error %v, want an AnnotationError about %s", err, key)
			}
			if !id.IsZero() {
				t.Errorf("with the error came identity %+v", id)
			}
			if ok && len(ae.Error()) > 1000 {
				t.Errorf("message of %d bytes does not fit into an Event", len(ae.Error()))
			}
		})
	}
	reject("role-arn", "list-iam-groups")
	reject("role-arn", "arn:aws:iam:::role/app")
	reject("role-arn", strings.Repeat("a", 250_000))
}

func TestMalformed(t *testing.T) {
	p := irsa.DefaultPrefix
	for key, bad := range map[string]string{p.TokenExpiration(): "1h", p.AudienceKey(): "a b"} {
		if ae, ok := errors.AsType[*irsa.AnnotationError](p.Malformed(map[string]string{key: bad})); !ok || ae.Key != key {
			t.Errorf("%s: %v", key, ae)
		}
	}
	fine := map[string]string{p.TokenExpiration(): "60", p.AudienceKey(): "", p.RegionalSTS(): "x"}
	if err := p.Malformed(fine); err != nil {
		t.Error(err)
	}
}

func TestIgnored(t *testing.T) {
	p := irsa.DefaultPrefix
	check := func(got []string, want ...string) {
		t.Helper()
		if len(got) != len(want) {
			t.Errorf("%q, want %q", got, want)
			return
		}
		for i := range got {
			if !strings.HasPrefix(got[i], "annotation ") || !strings.Contains(got[i], want[i]) {
				t.Errorf("%q, want %q", got[i], want[i])
			}
		}
	}
	of := func(keys ...string) map[string]string {
		m := map[string]string{}
		for _, k := range keys {
			m[k] = "x"
		}
		return m
	}
	onPod := func(m map[string]string) []string {
		mistakes, others := p.IgnoredOnPod(m)
		return append(mistakes, others...)
	}
	known := of(p.RoleARN(), p.AudienceKey(), p.TokenExpiration(), p.RegionalSTS(), p.RoleSessionName())
	check(p.Ignored(known))
	check(p.Ignored(of("app.kubernetes.io/name", "iam.amazonaws.com/role", "eks.amazonaws.com")))
	check(p.Ignored(of(p.SkipContainers())), "skip-containers means nothing on a service account; it belongs on pods")
	check(p.Ignored(of(p.IncludeContainers())), "include-containers is not known; all containers get the identity but")
	check(p.Ignored(of("eks.amazonaws.com/role_arn")), `role_arn" is not known and means nothing`)
	check(onPod(of(p.TokenExpiration(), p.SkipContainers(), p.RoleSessionName())))
	check(onPod(of(p.RoleARN(), p.AudienceKey())), "audience means nothing on a pod; it belongs on the pod's service account", "role-arn means nothing on a pod; it belongs on")
	check(onPod(of(p.IncludeContainers())), "include-containers is not known")
	check(onPod(of(irsa.SkipLabel)), "means nothing as an annotation; it is a label")
	check(irsa.Prefix("aws.example").Ignored(of(p.RoleARN())), `means nothing here, where the prefix of annotations is "aws.example"`)

	hostile := map[string]string{}
	for i := range 1000 {
		hostile["eks.amazonaws.com/"+strings.Repeat("x", 200)+string(rune('a'+i%26))+strings.Repeat("y", i%40)] = ""
	}
	if all := p.Ignored(hostile); len(all) > 4 || len(strings.Join(all, "")) > 1000 {
		t.Errorf("%d sentences", len(all))
	}
}

func TestCheckForeignRoleARN(t *testing.T) {
	for _, s := range []string{
		role, // AWS's are of the same form
		"arn:aws:iam:::role/application_abc/component_xyz/S3Access",
		"arn:aws:iam::tenant1:role/S3Access",
		"arn:aws:iam::RGW11111111111111111:role/app",
		"arn:minio:iam:::role/idmp-openid",
		"arn:minio:iam:::role/nOybJqMNzNmroqEKq5D0EUsRZw0",
		"arn:aws:sts::eAtUSDJ5RrNoqPNnaYyH:role/app",
	} {
		if err := irsa.CheckForeignRoleARN(s); err != nil {
			t.Errorf("%s: %v", s, err)
		}
	}
	for _, s := range []string{
		"", "app", "arn:aws:iam:::user/application", "arn:aws:s3:::role/application", "arn:aws:iam:eu:123:role/application", "arn:AWS:iam:::role/application",
		"arn:aws:iam:::role/", "arn:aws:iam::a b:role/application", "arn:aws:iam:::role/x y", "arn:x:iam:::role/a", "arn:aws:iam:::role/" + strings.Repeat("a", 65),
	} {
		if err := irsa.CheckForeignRoleARN(s); err == nil {
			t.Errorf("%q is accepted", s)
		}
	}
}

func TestAnnotationsReadBack(t *testing.T) {
	p := irsa.Prefix("aws.example")
	for _, d := range []irsa.Defaults{{}, {Audience: "other", ExpirationSeconds: 900, RegionalSTS: true}} {
		for _, id := range []irsa.Identity{
			{},
			{RoleARN: role, Audience: "sts.amazonaws.com", ExpirationSeconds: 86400},
			{RoleARN: role, Audience: "other", ExpirationSeconds: 600, RegionalSTS: true},
		} {
			m := p.Annotations(id, d)
			for k := range maps.Keys(m) {
				if !strings.HasPrefix(k, "aws.example/") {
					t.Errorf("annotation %q lacks the prefix", k)
				}
			}
			got, warnings, err := p.Identity(m, d)
			if err != nil || warnings != nil {
				t.Fatalf("%v: %v, warnings %q", m, err, warnings)
			}
			if diff := cmp.Diff(id, got); diff != "" {
				t.Errorf("%v: %s", m, diff)
			}
		}
	}
	if m := p.Annotations(irsa.Identity{RoleARN: role, Audience: "sts.amazonaws.com", ExpirationSeconds: 86400}, irsa.Defaults{}); len(m) != 1 {
		t.Errorf("defaults are written out: %v", m)
	}
}

func TestCheckRoleARN(t *testing.T) {
	for _, s := range []string{
		role,
		"arn:aws-cn:iam::123456789012:role/a",
		"arn:aws-us-gov:iam::123456789012:role/team/eu/My_Role+=,.@-1",
		"arn:aws:iam::000000000000:role/" + strings.Repeat("a", 64),
	} {
		if err := irsa.CheckRoleARN(s); err != nil {
			t.Errorf("%s: %v", s, err)
		}
	}
	for _, s := range []string{
		"", "arn", "role/x", "arn:aws:iam::123456789012", "arn:aws:iam::123456789012:role/",
		"arn:aws:iam::123456789012:user/x",
		"arn:aws:iam::123456789012:roles/x",
		"arn:aws:iam::12345678901:role/x",
		"arn:aws:iam::12345678901a:role/x",
		"arn:aws:iam:eu-west-1:123456789012:role/x",
		"arn:aws:sts::123456789012:role/x",
		"arn::iam::123456789012:role/x",
		"arn:AWS:iam::123456789012:role/x",
		"arn:aws:iam::123456789012:role/x y",
		"arn:aws:iam::123456789012:role/x\n",
		"arn:aws:iam::123456789012:role/é",
		"arn:aws:iam::123456789012:role/x:y",
		"arn:aws:iam::123456789012:role/a b/x",
		"arn:aws:iam::123456789012:role/" + strings.Repeat("a", 65),
		"arn:aws:iam::123456789012:role/" + strings.Repeat("a/", 300) + "x",
		" " + role,
	} {
		if err := irsa.CheckRoleARN(s); err == nil {
			t.Errorf("%q is accepted", s)
		}
	}
}

func TestParseSkip(t *testing.T) {
	for in, want := range map[string][]string{
		"":                      nil,
		"sidecar":               {"sidecar"},
		" sidecar , \"init\" ,": nil, // a space after a closing quote is malformed CSV
		"sidecar, init ,":       {"sidecar", "init", ""},
		"\"a\",b":               {"a", "b"},
	} {
		got, err := irsa.ParseSkip(in)
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%q (%v): %s", in, err, diff)
		}
	}
	if _, err := irsa.ParseSkip(`"sidecar`); err == nil {
		t.Error("an unclosed quote is accepted")
	}
}

func FuzzIdentity(f *testing.F) {
	f.Add(role, "sts.amazonaws.com", "86400", "true")
	f.Add("arn:aws:iam::1:role/x", "", "x", "")
	f.Fuzz(func(t *testing.T, arn, aud, expiration, regional string) {
		p := irsa.DefaultPrefix
		id, _, err := p.Identity(map[string]string{
			p.RoleARN(): arn, p.AudienceKey(): aud, p.TokenExpiration(): expiration, p.RegionalSTS(): regional,
		}, irsa.Defaults{})
		if err != nil {
			if !id.IsZero() {
				t.Fatalf("error %v with identity %+v", err, id)
			}
			return
		}
		again, warnings, err := p.Identity(p.Annotations(id, irsa.Defaults{}), irsa.Defaults{})
		if err != nil || warnings != nil || again != id {
			t.Fatalf("%+v written and read back is %+v, %q, %v", id, again, warnings, err)
		}
	})
}
