package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestTemplates(t *testing.T) {
	for arn, want := range map[string][]string{
		"arn:${Partition}:sqs:${Region}:${Account}:${QueueName}": {"arn:${Partition}:sqs:${Region}:${Account}:${QueueName}"},
		"arn:${Partition}:s3:::${BucketName}/${ObjectName}":      {"arn:${Partition}:s3:::${BucketName}/${ObjectName}"},
		"arn:${Partition}:artifact:::agreement/*":                {"arn:${Partition}:artifact:::agreement/*"},
		"arn:${Partition}:a:::x/${X}, arn:${Partition}:a:::y":    {"arn:${Partition}:a:::x/${X}", "arn:${Partition}:a:::y"},
		"arn:${Partition}:opsworks-cm::${Account}:backup/${ServerName}-{Date-and-Time-Stamp-of-Backup}": {
			"arn:${Partition}:opsworks-cm::${Account}:backup/${ServerName}-${DateAndTimeStampOfBackup}"},
		// Forms that are not known.
		"arn:${Partition}:a:${Region}:${Account}:{Name}":   nil,
		"arn:${Partition}:a:${Region}:${Account}:<name>":   nil,
		"arn:${Partition}:a:${Region}:${Account}:${na-me}": nil,
		"arn:${Partition}:a:${Region}:${Account}:${Name":   nil,
		"arn:${Partition}:a:${Region}:${Account}:$Name":    nil,
		"arn:${Partition}:a:${Region}":                     nil,
		"arn:${Partition}:a:${Region}:${Account}:":         nil,
		"https://a": nil,
		"arn:${Partition}:a:::x, arn:${Partition}:a:::<y>":   nil,
		"arn:${Partition}:a:${Region}:${Account}:na me/${X}": nil,
	} {
		got, err := templates(arn)
		if (err == nil) != (want != nil) || err == nil && !cmp.Equal(got, want) {
			t.Errorf("%s: %q, %v", arn, got, err)
		}
	}
}

// referenceData is a small package of the reference's data, with one thing replaced.
func referenceData(replace ...string) map[string][]byte {
	change := strings.NewReplacer(replace...).Replace
	return map[string][]byte{
		"data/conditionKeys/s.json": []byte(change(`{"a": {"key": "aws:TagKeys", "type": "ArrayOfString"}, "b": {"key": "s:Name", "type": "String"}}`)),
		"data/resourceTypes/s.json": []byte(change(`{"thing": {"key": "Thing", "arn": "arn:${Partition}:s:${Region}:${Account}:thing/${Name}",
			"conditionKeys": ["s:Name"]}}`)),
		"data/actions/s.json": []byte(change(`{
			"gething": {"name": "GetThing", "accessLevel": "Read", "resourceTypes": [{"name": "thing", "required": true}]},
			"makething": {"name": "MakeThing", "accessLevel": "Tagging, Write", "conditionKeys": ["aws:TagKeys"],
				"dependentActions": ["iam:PassRole"], "resourceTypes": [{"name": "THING", "conditionKeys": ["s:Name"], "dependentActions": ["s:GetThing"]}]}}`)),
	}
}

func sectionOf(files map[string][]byte) (string, error) {
	s := &service{prefix: "s", name: "The S", keys: map[string]string{}}
	if err := s.read(files); err != nil {
		return "", err
	}
	if err := s.readDependents(files); err != nil {
		return "", err
	}
	return s.section()
}

func TestReference(t *testing.T) {
	got, err := sectionOf(referenceData())
	if err != nil {
		t.Fatal(err)
	}
	want := `The S
#Laws:TagKeys S:Name
>iam:PassRole :GetThing
/Thing	~thing/{Name}	1
GetThing R0!
MakeThing T0:1 0 >0.1
`
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
	for old, other := range map[string]string{
		`"Read"`:              `"Look"`,
		`"THING"`:             `"other"`,
		`["aws:TagKeys"]`:     `["aws:Other"]`,
		`["s:Name"]`:          `["s:Other"]`,
		`"String"`:            `"Text"`,
		`thing/${Name}`:       `thing/<Name>`,
		`"key": "s:Name"`:     `"key": "s:Na me"`,
		`"key": "Thing"`:      `"key": "Th ing"`,
		`"name": "GetThing"`:  `"name": GetThing`,
		`"conditionKeys": ["`: `"conditionKeys": ["s:No", "`,
	} {
		if got, err := sectionOf(referenceData(old, other)); err == nil {
			t.Errorf("%s for %s: no error, but %s", other, old, got)
		}
	}
}

const smallModel = `{
	"metadata": {"protocol": "rest-json"},
	"operations": {
		"GetThing": {"http": {"method": "GET", "requestUri": "/things/{thingName}/parts/{Path+}?full"}, "input": {"shape": "Get"}},
		"MakeThing": {"http": {"method": "POST", "requestUri": "/things"}, "input": {"shape": "Make"}, "authtype": "none",
			"endpoint": {"hostPrefix": "data-"}},
		"Watch": {"http": {"method": "POST", "requestUri": "/"}, "output": {"shape": "Events"}, "deprecated": true}
	},
	"shapes": {
		"Get": {"type": "structure", "required": ["Limit", "Path"], "members": {
			"Path": {"shape": "S", "location": "uri"}, "ThingName": {"shape": "S", "location": "uri", "locationName": "thingName"},
			"Limit": {"shape": "N", "location": "querystring", "locationName": "max"}, "Plain": {"shape": "B"}}},
		"Make": {"type": "structure", "payload": "Body", "members": {
			"Body": {"shape": "Deep"}, "Head": {"shape": "S", "location": "header", "locationName": "X-Head"}}},
		"Deep": {"type": "structure", "members": {"Deeper": {"shape": "Deep"}, "Roles": {"shape": "L"}, "Tags": {"shape": "Tags"},
			"Dull": {"shape": "Dull"}, "Same": {"shape": "S"}, "Times": {"shape": "M"}}},
		"Dull": {"type": "structure", "members": {"A": {"shape": "S"}, "More": {"shape": "Dull"}}},
		"Tags": {"type": "list", "member": {"shape": "Tag"}},
		"Tag": {"type": "structure", "members": {"Key": {"shape": "S"}, "Value": {"shape": "S"}}},
		"L": {"type": "list", "member": {"shape": "S"}}, "M": {"type": "map", "key": {"shape": "S"}, "value": {"shape": "T"}},
		"Events": {"type": "structure", "members": {"Stream": {"shape": "Stream"}}},
		"Stream": {"type": "structure", "eventstream": true, "members": {}},
		"S": {"type": "string"}, "N": {"type": "long"}, "B": {"type": "boolean"}, "T": {"type": "timestamp"}
	}
}`

func modelSection(t *testing.T, text, protocol string) (string, error) {
	t.Helper()
	m := &model{name: "small", protocol: protocol}
	if err := json.Unmarshal([]byte(text), m); err != nil {
		t.Fatal(err)
	}
	return m.section([]action{{name: "Any"}, {name: "GetThing"}, {name: "MakeThing"}})
}

func TestModel(t *testing.T) {
	got, err := modelSection(t, smallModel, "rest-json")
	if err != nil {
		t.Fatal(err)
	}
	want := `small
1 G/things/{}/parts/{+}?full /ThingName. /Path ?!Limit=max;# Plain;?
0 ~u ~hdata- P/things $Body;0 @Head=X-Head
=Watch ~< ~d P/
&Deeper;0 Roles;[$ Tags;[1
&Key Value
`
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
	for old, other := range map[string]string{
		`{thingName}`:              `{thing}`,
		`/things/{thingName}`:      `/things/x{thingName}`,
		`"GET"`:                    `"FETCH"`,
		`"location": "header"`:     `"location": "trailer"`,
		`"type": "long"`:           `"type": "short story"`,
		`"member": {"shape": "S"}`: `"member": {"shape": "L"}`,
		`"locationName": "X-Head"`: `"locationName": "X Head"`,
		`"Head": {"shape"`:         `"He;ad": {"shape"`,
		`"Value": {"shape": "S"`:   `"Value": {"shape": "Nowhere"`,
		`"hostPrefix": "data-"`:    `"hostPrefix": "data "`,
		`{Path+}?full`:             `{Path+}?{full}`,
		`/parts/{Path+}?full`:      `/{thingName+}/{Path+}?full`,
	} {
		changed := strings.ReplaceAll(smallModel, old, other)
		if got, err := modelSection(t, changed, "rest-json"); err == nil {
			t.Errorf("%s for %s: no error, but %s", other, old, got)
		}
	}
}

// TestNames spells what is in a request of Query and of EC2.
func TestNames(t *testing.T) {
	text := `{"operations": {"Do": {"http": {"method": "POST", "requestUri": "/"}, "input": {"shape": "Do"}}}, "shapes": {
		"Do": {"type": "structure", "members": {"flat": {"shape": "Flat"}, "Plain": {"shape": "Plain"}, "Map": {"shape": "Map"},
			"x": {"shape": "S", "locationName": "xSet", "queryName": "XName"}}},
		"Flat": {"type": "list", "flattened": true, "member": {"shape": "S", "locationName": "Item"}},
		"Plain": {"type": "list", "member": {"shape": "S", "locationName": "Item"}},
		"Map": {"type": "map", "key": {"shape": "S", "locationName": "Name"}, "value": {"shape": "S"}},
		"S": {"type": "string"}}}`
	for protocol, want := range map[string]string{
		"query": "small\n=Do Map;{=Name,value;$ Plain;[=Item;$ flat=Item;^[$ x=xSet\n",
		"ec2":   "small\n=Do Map;{=Name,value;$ Plain;^[$ flat=Flat;^[$ x=XName\n",
	} {
		got, err := modelSection(t, text, protocol)
		if d := cmp.Diff(want, got); d != "" || err != nil {
			t.Errorf("%s: %v %s", protocol, err, d)
		}
	}
}

func TestLost(t *testing.T) {
	file := filepath.Join(t.TempDir(), "counts.txt")
	last := counts{{"prefix", "s", []int{3, 2, 1}}, {"prefix", "t", []int{1, 1, 1}}, {"model", "m", []int{5, 1}}}
	if lost := last.lost(file); lost != nil {
		t.Errorf("nothing was there, and is lost: %q", lost)
	}
	if err := os.WriteFile(file, []byte(last.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		now  counts
		want []string
	}{
		{last, nil},
		{counts{{"prefix", "s", []int{4, 3, 0}}, last[1], {"model", "m", []int{7, 3}}}, nil},
		{counts{last[0], last[2]}, []string{"prefix t is gone"}},
		{counts{last[0], last[1]}, []string{"model m is gone"}},
		{counts{{"prefix", "s", []int{2, 2, 1}}, last[1], last[2]}, []string{"prefix s has 2, not 3"}},
		{counts{{"prefix", "s", []int{3, 1, 1}}, last[1], last[2]}, []string{"prefix s has 1 types, not 2"}},
		{counts{last[0], last[1], {"model", "m", []int{4, 0}}}, []string{"model m has 4, not 5"}},
		{counts{last[0], last[1], {"model", "m", []int{5, 2}}}, []string{"model m has 2 operations without an action, not 1"}},
	} {
		if d := cmp.Diff(c.want, c.now.lost(file)); d != "" {
			t.Errorf("%v: %s", c.now, d)
		}
	}
}

func TestInputs(t *testing.T) {
	dir := t.TempDir()
	packed := filepath.Join(dir, "data.tgz")
	if err := os.WriteFile(packed, []byte("another"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := tarball(packed, iamDataSHA512); err == nil || !strings.Contains(err.Error(), "not the one that is pinned") {
		t.Errorf("another package: %v", err)
	}
	if _, err := modelFiles(dir, botocoreSHA256); err == nil || !strings.Contains(err.Error(), "not the one that is pinned") {
		t.Errorf("no models: %v", err)
	}
	if err := run(inputs{botocore: dir, iamData: packed, dependents: packed}, dir, false); err == nil {
		t.Error("tables were made of another package")
	}
}
