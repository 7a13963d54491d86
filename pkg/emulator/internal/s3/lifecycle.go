package s3

import (
	"encoding/xml"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/openirsa/openirsa/pkg/emulator/internal/store"
	"github.com/openirsa/openirsa/pkg/emulator/internal/wire"
)

// lifecycleRule says what becomes of objects with time (S3 API Reference,
// "LifecycleRule"). Transitions to other storage classes are kept and not done.
type lifecycleRule struct {
	ID     string           `json:",omitempty"`
	Prefix *string          `json:",omitempty"` // the older form of Filter
	Filter *lifecycleFilter `json:",omitempty"`
	Status string

	Expiration *struct {
		Date                      string `json:",omitempty"`
		Days                      int    `json:",omitempty"`
		ExpiredObjectDeleteMarker bool   `json:",omitempty"`
	} `json:",omitempty"`
	Transitions []struct {
		Date         string `json:",omitempty"`
		Days         *int   `json:",omitempty"`
		StorageClass string
	} `xml:"Transition" json:",omitempty"`
	NoncurrentVersionTransitions []struct {
		NoncurrentDays          int
		NewerNoncurrentVersions int `json:",omitempty"`
		StorageClass            string
	} `xml:"NoncurrentVersionTransition" json:",omitempty"`
	NoncurrentVersionExpiration *struct {
		NoncurrentDays          int
		NewerNoncurrentVersions int `json:",omitempty"`
	} `json:",omitempty"`
	AbortIncompleteMultipartUpload *struct{ DaysAfterInitiation int } `json:",omitempty"`
}

// lifecycleFilter says which objects a rule is about: And excludes the others.
type lifecycleFilter struct {
	Prefix                *string          `json:",omitempty"`
	Tag                   *wire.Tag        `json:",omitempty"`
	ObjectSizeGreaterThan *int64           `json:",omitempty"`
	ObjectSizeLessThan    *int64           `json:",omitempty"`
	And                   *lifecycleFilter `json:",omitempty"`
	Tags                  []wire.Tag       `xml:"-" json:",omitempty"` // of And
}

// UnmarshalXML implements [xml.Unmarshaler]: the tags of And are several elements
// of the name that Filter has once.
func (f *lifecycleFilter) UnmarshalXML(d *xml.Decoder, start xml.StartElement) error {
	var body struct {
		Prefix                *string
		Tag                   []wire.Tag
		ObjectSizeGreaterThan *int64
		ObjectSizeLessThan    *int64
		And                   *lifecycleFilter
	}
	if err := d.DecodeElement(&body, &start); err != nil {
		return err
	}
	*f = lifecycleFilter{Prefix: body.Prefix, ObjectSizeGreaterThan: body.ObjectSizeGreaterThan,
		ObjectSizeLessThan: body.ObjectSizeLessThan, And: body.And, Tags: body.Tag}
	if start.Name.Local == "Filter" && len(body.Tag) > 0 {
		if len(body.Tag) > 1 {
			return fmt.Errorf("a filter has %d tags without And", len(body.Tag))
		}
		f.Tag, f.Tags = &body.Tag[0], nil
	}
	return nil
}

const maxLifecycleRules = 1000

// check refuses a rule that S3 refuses.
func (r *lifecycleRule) check() *failure {
	if r.Status != "Enabled" && r.Status != "Disabled" || len(r.ID) > maxRuleID || r.Prefix != nil && r.Filter != nil {
		return errMalformedXML()
	}
	if r.Prefix == nil && r.Filter == nil {
		return errMalformedXML()
	}
	if f := r.Filter; f != nil {
		n := 0
		for _, given := range []bool{f.Prefix != nil, f.Tag != nil, f.ObjectSizeGreaterThan != nil, f.ObjectSizeLessThan != nil, f.And != nil} {
			if given {
				n++
			}
		}
		if n > 1 || f.And != nil && f.And.And != nil {
			return errMalformedXML()
		}
	}
	if r.Expiration == nil && r.NoncurrentVersionExpiration == nil && r.AbortIncompleteMultipartUpload == nil &&
		len(r.Transitions) == 0 && len(r.NoncurrentVersionTransitions) == 0 {
		return errInvalidRequest("At least one action needs to be specified in a rule")
	}
	if x := r.Expiration; x != nil {
		n := 0
		for _, given := range []bool{x.Date != "", x.Days != 0, x.ExpiredObjectDeleteMarker} {
			if given {
				n++
			}
		}
		if n > 1 {
			return errMalformedXML()
		}
		if x.Days < 0 || n == 0 {
			return failf(http.StatusBadRequest, "InvalidArgument", "'Days' for Expiration action must be a positive integer")
		}
		if at, err := time.Parse(time.RFC3339, x.Date); x.Date != "" && (err != nil || !at.Equal(at.UTC().Truncate(24*time.Hour))) {
			return failf(http.StatusBadRequest, "InvalidArgument", "'Date' must be at midnight GMT")
		}
	}
	if x := r.NoncurrentVersionExpiration; x != nil && x.NoncurrentDays <= 0 {
		return failf(http.StatusBadRequest, "InvalidArgument",
			"'NoncurrentDays' for NoncurrentVersionExpiration action must be a positive integer")
	}
	if x := r.AbortIncompleteMultipartUpload; x != nil && x.DaysAfterInitiation <= 0 {
		return failf(http.StatusBadRequest, "InvalidArgument",
			"'DaysAfterInitiation' for AbortIncompleteMultipartUpload action must be a positive integer")
	}
	return nil
}

// prefix is the beginning of the keys that a rule is about.
func (r *lifecycleRule) prefix() string {
	switch {
	case r.Prefix != nil:
		return *r.Prefix
	case r.Filter.And != nil && r.Filter.And.Prefix != nil:
		return *r.Filter.And.Prefix
	case r.Filter.Prefix != nil:
		return *r.Filter.Prefix
	}
	return ""
}

// matches reports whether a rule that is in force is about an object.
func (r *lifecycleRule) matches(o *object) bool {
	if r.Status != "Enabled" || !strings.HasPrefix(o.Key, r.prefix()) {
		return false
	}
	f := r.Filter
	if f == nil {
		return true
	}
	tags := f.Tags
	if f.Tag != nil {
		tags = []wire.Tag{*f.Tag}
	}
	if f.And != nil {
		f, tags = f.And, f.And.Tags
	}
	if f.ObjectSizeGreaterThan != nil && o.Size <= *f.ObjectSizeGreaterThan || f.ObjectSizeLessThan != nil && o.Size >= *f.ObjectSizeLessThan {
		return false
	}
	return !slices.ContainsFunc(tags, func(t wire.Tag) bool { return !slices.Contains(o.Tags, t) })
}

// afterDays is the midnight that follows some days after a time: S3 rounds up
// (S3 User Guide, "Lifecycle rules: Based on an object's age").
func afterDays(t time.Time, days int) time.Time {
	return t.UTC().Truncate(24*time.Hour).AddDate(0, 0, days+1)
}

// expiry is when a visible object expires, and by which rule; the soonest.
func (c *bucketConfig) expiry(o *object) (at time.Time, rule *lifecycleRule) {
	for i := range c.Lifecycle {
		r := &c.Lifecycle[i]
		if r.Expiration == nil || r.Expiration.ExpiredObjectDeleteMarker || !r.matches(o) {
			continue
		}
		then := afterDays(o.Modified, r.Expiration.Days)
		if r.Expiration.Date != "" {
			then, _ = time.Parse(time.RFC3339, r.Expiration.Date)
		}
		if rule == nil || then.Before(at) {
			at, rule = then, r
		}
	}
	return at, rule
}

// setExpiry tells when an object will expire, if it will.
func (q *call) setExpiry(a *answer, o *object) {
	if at, rule := q.config.expiry(o); rule != nil && !o.DeleteMarker {
		a.set("X-Amz-Expiration", fmt.Sprintf(`expiry-date="%s", rule-id="%s"`, at.UTC().Format(http.TimeFormat), rule.ID))
	}
}

// age does to a bucket what its lifecycle says is to be done by now. It is asked
// before each request, and looks once for each day and configuration.
func (s *state) age(name string, now time.Time) {
	s.mu.RLock()
	b := s.buckets[name]
	due := b != nil && len(b.Lifecycle) > 0 && (b.aged != b.bucketConfig || now.UTC().Truncate(24*time.Hour).After(b.agedAt))
	s.mu.RUnlock()
	if !due {
		return
	}
	s.edit(func(c *store.Change) *failure {
		b := s.buckets[name]
		if b == nil {
			return nil
		}
		b.aged, b.agedAt = b.bucketConfig, now.UTC().Truncate(24*time.Hour)
		for _, o := range slices.Clone(b.objects) {
			if at, rule := b.expiry(o); rule != nil && !at.After(now) {
				s.remove(c, b, &deletion{key: o.Key, at: now})
			}
		}
		for key := range b.older {
			s.ageVersions(c, b, key, now)
		}
		for _, u := range s.uploads {
			if u.Bucket == name && b.aborts(u, now) {
				s.removeUpload(c, u)
			}
		}
		return nil
	})
}

// ageVersions deletes older versions of a key whose time has come, and a delete
// marker that has none left below it. The caller holds mu.
func (s *state) ageVersions(c *store.Change, b *bucket, key string, now time.Time) {
	all := slices.Clone(b.all(key))
	for i := len(all) - 1; i > 0; i-- { // the newest is not older than any
		for r := range b.Lifecycle {
			x := b.Lifecycle[r].NoncurrentVersionExpiration
			// A version is noncurrent since the next one was stored.
			if x != nil && b.Lifecycle[r].matches(all[i]) && i > x.NewerNoncurrentVersions &&
				!afterDays(all[i-1].Modified, x.NoncurrentDays).After(now) {
				s.removeVersion(c, b, key, versionRef{true, all[i].VersionID})
				break
			}
		}
	}
	if all = b.all(key); len(all) != 1 || !all[0].DeleteMarker {
		return
	}
	for r := range b.Lifecycle {
		rule := &b.Lifecycle[r]
		if x := rule.Expiration; x != nil && rule.matches(all[0]) &&
			(x.ExpiredObjectDeleteMarker || x.Days > 0 && !afterDays(all[0].Modified, x.Days).After(now)) {
			s.removeVersion(c, b, key, versionRef{true, all[0].VersionID})
			return
		}
	}
}

// aborts reports whether an upload was under way for too long.
func (c *bucketConfig) aborts(u *upload, now time.Time) bool {
	return slices.ContainsFunc(c.Lifecycle, func(r lifecycleRule) bool {
		x := r.AbortIncompleteMultipartUpload
		return x != nil && r.Status == "Enabled" && strings.HasPrefix(u.Key, r.prefix()) &&
			!afterDays(u.Initiated, x.DaysAfterInitiation).After(now)
	})
}
