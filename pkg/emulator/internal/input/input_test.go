package input_test

import (
	"encoding/json"
	"errors"
	"io"
	"runtime"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/fxamacker/cbor/v2"
	"github.com/google/go-cmp/cmp"

	"github.com/openirsa/openirsa/internal/awsapi"
	"github.com/openirsa/openirsa/pkg/emulator/internal/input"
)

func TestJSON(t *testing.T) {
	want := map[string]any{
		"TableName": "Cart", "Item": map[string]any{"id": map[string]any{"S": "7"}, "L": []any{json.Number("1"), json.Number("-2.5e3"), true, false, nil}},
		"Text": "a\"\\/\b\f\n\r\tä😀", "None": []any{}, "Empty": map[string]any{},
	}
	const text = ` { "TableName" : "Cart", "Item":{"id":{"S":"7"},"L":[1,-2.5e3,true,false,null]},
		"Text":"a\"\\\/\b\f\n\r\t\u00e4\ud83d\ude00","None":[ ],"Empty":{}}  `
	for _, r := range []io.Reader{strings.NewReader(text), iotest.OneByteReader(strings.NewReader(text)), iotest.DataErrReader(strings.NewReader(text))} {
		got, err := input.JSON(r)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Error(diff)
		}
	}
	if got, err := input.JSON(strings.NewReader("")); err != nil || len(got) != 0 {
		t.Errorf("no body: %v, %v", got, err)
	}
	for name, text := range map[string]string{
		"a member twice":        `{"a":1,"a":2}`,
		"one twice, escaped":    `{"a":1,"\u0061":2}`,
		"one twice, deep":       `{"x":[{"y":{"a":1,"a":2}}]}`,
		"a list":                `[]`,
		"two objects":           `{}{}`,
		"something after":       `{} x`,
		"a comma too many":      `{"a":1,}`,
		"a comma in a list":     `{"a":[1,]}`,
		"no end":                `{"a":1`,
		"no end of a text":      `{"a":"b`,
		"no value":              `{"a":}`,
		"no colon":              `{"a" 1}`,
		"a bare name":           `{a:1}`,
		"single quotes":         `{'a':1}`,
		"a comment":             `{/* */"a":1}`,
		"NaN":                   `{"a":NaN}`,
		"a leading zero":        `{"a":01}`,
		"a lone minus":          `{"a":-}`,
		"half a surrogate":      `{"a":"\ud800"}`,
		"half of one, then no":  `{"a":"\ud800\u0041"}`,
		"the wrong half":        `{"a":"\udc00"}`,
		"not UTF-8":             "{\"a\":\"\xff\"}",
		"a name not in UTF-8":   "{\"\xff\":1}",
		"a line feed in a text": "{\"a\":\"\n\"}",
		"an unknown escape":     `{"a":"\x41"}`,
		"a byte order mark":     "\ufeff{}",
		"a null":                "null",
		"not UTF-8 in a long":   `{"a":"` + strings.Repeat("x", 200<<10) + "\xff" + strings.Repeat("x", 200<<10) + `"}`,
	} {
		if got, err := input.JSON(strings.NewReader(text)); err == nil || got != nil {
			t.Errorf("%s is accepted: %v", name, got)
		}
	}
	for name, text := range map[string]string{
		"too deep":            strings.Repeat(`{"a":`, 100) + "1" + strings.Repeat("}", 100),
		"lists that are":      `{"a":` + strings.Repeat("[", 100) + strings.Repeat("]", 100) + "}",
		"too many values":     `{"a":[` + strings.Repeat("1,", 300_000) + "1]}",
		"too much of it":      `{"a":[` + strings.Repeat(`"`+strings.Repeat("x", 60_000)+`",`, 200) + "1]}",
		"a name that is long": `{"` + strings.Repeat("x", 70<<10) + `":1}`,
	} {
		if _, err := input.JSON(strings.NewReader(text)); !errors.Is(err, input.ErrTooLarge) {
			t.Errorf("%s: %v", name, err)
		}
	}
	// What is read in one window or across two is the same, and characters at its edge
	// are whole.
	long := `{"a":"` + strings.Repeat("ä", 100<<10) + `","b":"` + strings.Repeat("x", 4090) + `ä","c":1}`
	got, err := input.JSON(strings.NewReader(long))
	if err != nil || got["a"] != nil || got["b"] != strings.Repeat("x", 4090)+"ä" || got["c"] != json.Number("1") {
		t.Errorf("a long text: %v, %.40v", err, got)
	}
}

// A body of 100 MB, of which one text is most, takes little memory.
func TestLargeJSON(t *testing.T) {
	body := io.MultiReader(strings.NewReader(`{"FunctionName":"f","Code":{"ZipFile":"`),
		io.LimitReader(letters{}, 100<<20), strings.NewReader(`"},"Role":"r"}`))
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	got, err := input.JSON(body)
	runtime.ReadMemStats(&after)
	if err != nil || got["FunctionName"] != "f" || got["Role"] != "r" {
		t.Fatalf("%v, %v", got, err)
	}
	if used := after.TotalAlloc - before.TotalAlloc; used > 2<<20 {
		t.Errorf("it took %d bytes", used)
	}
}

type letters struct{}

func (letters) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = 'A'
	}
	return len(p), nil
}

func TestForm(t *testing.T) {
	read := func(service, operation, form string) (map[string]any, error) {
		op := awsapi.ByName(service).Operation(operation)
		if op == nil {
			t.Fatalf("%s has no %s", service, operation)
		}
		var last map[string]any
		for _, r := range []io.Reader{iotest.OneByteReader(strings.NewReader(form)), strings.NewReader(form)} {
			params, err := input.Form(r)
			if err != nil {
				return nil, err
			}
			from := input.FromForm
			if service == "sqs" || service == "cloudwatch" {
				from = input.FromOldForm
			}
			if last, err = from(op.Members, params); err != nil {
				return nil, err
			}
		}
		return last, nil
	}
	for _, test := range []struct {
		service, operation, form string
		want                     map[string]any
	}{
		{"sns", "Publish", "Action=Publish&Version=2010-03-31&TopicArn=arn%3Aaws&Message=a+b&&", map[string]any{"TopicArn": "arn:aws", "Message": "a b"}},
		{"sns", "TagResource", "ResourceArn=a&Tags.member.1.Key=k&Tags.member.1.Value=v&Tags.member.10.Key=l&Tags.member.9.Key=m",
			map[string]any{"ResourceArn": "a", "Tags": []any{map[string]any{"Key": "k", "Value": "v"}, map[string]any{"Key": "m"}, map[string]any{"Key": "l"}}}},
		{"sns", "CreateTopic", "Name=n&Attributes.entry.1.key=Policy&Attributes.entry.1.value=x", map[string]any{"Name": "n", "Attributes": map[string]any{"Policy": "x"}}},
		{"sqs", "SetQueueAttributes", "QueueUrl=u&Attribute.1.Name=Policy&Attribute.1.Value=x", map[string]any{"QueueUrl": "u", "Attributes": map[string]any{"Policy": "x"}}},
		{"sqs", "SendMessageBatch", "SendMessageBatchRequestEntry.1.Id=a", map[string]any{"Entries": []any{map[string]any{"Id": "a"}}}},
		{"sqs", "CreateQueue", "QueueName=q&Tag.1.Key=a&Tag.1.Value=b", map[string]any{"QueueName": "q", "tags": map[string]any{"a": "b"}}},
		{"sqs", "UntagQueue", "TagKey.1=a&TagKey.2=b", map[string]any{"TagKeys": []any{"a", "b"}}},
		{"cloudwatch", "PutMetricData", "Namespace=N&MetricData.member.1.MetricName=m", map[string]any{"Namespace": "N", "MetricData": []any{map[string]any{"MetricName": "m"}}}},
		{"ec2", "StopInstances", "InstanceId.1=i-1&InstanceId.2=i-2&Unknown=1", map[string]any{"InstanceIds": []any{"i-1", "i-2"}}},
		{"ec2", "RunInstances", "TagSpecification.1.ResourceType=instance&TagSpecification.1.Tag.1.Key=a&TagSpecification.1.Tag.1.Value=",
			map[string]any{"TagSpecifications": []any{map[string]any{"ResourceType": "instance", "Tags": []any{map[string]any{"Key": "a", "Value": ""}}}}}},
		{"rds", "AddTagsToResource", "ResourceName=r&Tags.Tag.1.Key=a", map[string]any{"ResourceName": "r", "Tags": []any{map[string]any{"Key": "a"}}}},
		{"sns", "Publish", "Message=" + strings.Repeat("x", 400<<10) + "&TopicArn=n", map[string]any{"Message": "", "TopicArn": "n"}},
		{"sns", "ListTopics", "", map[string]any{}},
		{"autoscaling", "DescribeAutoScalingGroups", "AutoScalingGroupNames=", map[string]any{"AutoScalingGroupNames": []any{}}},
	} {
		got, err := read(test.service, test.operation, test.form)
		if diff := cmp.Diff(test.want, got); diff != "" || err != nil {
			t.Errorf("%.80s: %v\n%s", test.form, err, diff)
		}
	}
	for name, form := range map[string]string{
		"a parameter twice":         "TopicArn=a&TopicArn=b",
		"one twice, escaped":        "TopicArn=a&%54opicArn=b",
		"one in another case":       "topicarn=a",
		"a value and a part":        "TopicArn=1&TopicArn.B=2",
		"a part of a text":          "TopicArn.B=2",
		"a list of no numbers":      "MessageAttributes.entry.x.Name=y",
		"a map and more":            "MessageAttributes.entry.1.Name=x&MessageAttributes.B=y",
		"a number in two spellings": "MessageAttributes.entry.1.Name=x&MessageAttributes.entry.01.Name=y",
		"a semicolon":               "TopicArn=1;B=2",
		"an escape that is none":    "TopicArn=%zz",
		"not UTF-8":                 "TopicArn=%ff",
		"a name without a part":     "A..B=1",
		"a map with a key twice":    "MessageAttributes.entry.1.Name=x&MessageAttributes.entry.2.Name=x",
	} {
		if got, err := read("sns", "Publish", form); err == nil {
			t.Errorf("%s is accepted: %v", name, got)
		}
	}
	if _, err := read("sns", "Publish", strings.Repeat("A.", 100)+"B=1"); !errors.Is(err, input.ErrTooLarge) {
		t.Errorf("too deep: %v", err)
	}
}

func TestNamesInJSON(t *testing.T) {
	read := func(service, operation, body string) (map[string]any, error) {
		tree, err := input.JSON(strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		return input.FromJSON(awsapi.ByName(service).Operation(operation).Members, tree)
	}
	got, err := read("dynamodb", "PutItem", `{"TableName":"t","Item":{"id":{"S":"1"},"ID":{"S":"2"}},"Unknown":1}`)
	want := map[string]any{"TableName": "t", "Item": map[string]any{"id": map[string]any{"S": "1"}, "ID": map[string]any{"S": "2"}}}
	if diff := cmp.Diff(want, got); diff != "" || err != nil {
		t.Error(err, diff)
	}
	for _, body := range []string{
		`{"tableName":"t"}`, `{"TableName":"t","TABLENAME":"u"}`, `{"TransactItems":[{"Put":{"TableName":"t","tablename":"u"}}]}`,
	} {
		if got, err := read("dynamodb", "TransactWriteItems", body); strings.Contains(body, "Transact") && err == nil {
			t.Errorf("%s is accepted: %v", body, got)
		}
		if got, err := read("dynamodb", "PutItem", body); !strings.Contains(body, "Transact") && err == nil {
			t.Errorf("%s is accepted: %v", body, got)
		}
	}
}

func TestCBOR(t *testing.T) {
	encode := func(v any) []byte {
		b, err := cbor.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	got, err := input.CBOR(encode(map[string]any{"Namespace": "N", "N": 7, "M": -1, "F": 1.5, "B": []byte("x"), "T": cbor.Tag{Number: 1, Content: 1.25},
		"L": []any{map[string]any{"a": true, "b": nil}}}))
	want := map[string]any{"Namespace": "N", "N": json.Number("7"), "M": json.Number("-1"), "F": 1.5, "B": []byte("x"), "T": 1.25,
		"L": []any{map[string]any{"a": true, "b": nil}}}
	if diff := cmp.Diff(want, got); diff != "" || err != nil {
		t.Error(err, diff)
	}
	if got, err := input.CBOR([]byte("\xbf\x61a\x01\xff")); err != nil || got["a"] != json.Number("1") {
		t.Errorf("a map without a length: %v, %v", got, err)
	}
	for name, body := range map[string]string{
		"a member twice":     "\xa2\x61a\x01\x61a\x02",
		"one twice, deep":    "\xa1\x61x\xa2\x61a\x01\x61a\x02",
		"something after":    "\xa0\x00",
		"a list":             "\x80",
		"a name that is 1":   "\xa1\x01\x02",
		"not UTF-8":          "\xa1\x61\xff\x01",
		"no end":             "\xa1\x61a",
		"too deep":           strings.Repeat("\xa1\x61a", 1000) + "\x01",
		"more than there is": "\xba\xff\xff\xff\xff",
	} {
		if got, err := input.CBOR([]byte(body)); err == nil {
			t.Errorf("%s is accepted: %v", name, got)
		}
	}
}

func TestXML(t *testing.T) {
	members := awsapi.ByName("route53").Operation("ChangeResourceRecordSets").Members
	read := func(body string) (map[string]any, error) { return input.XML(strings.NewReader(body), members) }
	const change = `<Change><Action>CREATE</Action><ResourceRecordSet><Name>_acme.x.org.</Name><Type>TXT</Type><TTL>60</TTL>` +
		`<ResourceRecords><ResourceRecord><Value>"a&amp;b"</Value></ResourceRecord></ResourceRecords></ResourceRecordSet></Change>`
	got, err := read(`<?xml version="1.0" encoding="UTF-8"?>
		<ChangeResourceRecordSetsRequest xmlns="https://route53.amazonaws.com/doc/2013-04-01/"><ChangeBatch><Changes>` + change + change +
		`</Changes></ChangeBatch><Unknown/></ChangeResourceRecordSetsRequest>`)
	one := map[string]any{"Action": "CREATE", "ResourceRecordSet": map[string]any{"Name": "_acme.x.org.", "Type": "TXT", "TTL": "60",
		"ResourceRecords": []any{map[string]any{"Value": `"a&b"`}}}}
	if diff := cmp.Diff(map[string]any{"ChangeBatch": map[string]any{"Changes": []any{one, one}}}, got); diff != "" || err != nil {
		t.Error(err, diff)
	}
	for name, body := range map[string]string{
		"a comment in a text":      `<A><Id>Z<!-- -->9</Id></A>`,
		"an entity":                `<!DOCTYPE a [<!ENTITY e "x">]><A>&e;</A>`,
		"an instruction":           `<A><?x y?></A>`,
		"two roots":                `<A/><B/>`,
		"text about elements":      `<A>x<B/></A>`,
		"a wrong end":              `<A><B></A></B>`,
		"no end":                   `<A>`,
		"another encoding":         `<?xml version="1.0" encoding="utf-16"?><A/>`,
		"a structure twice":        `<A><ChangeBatch/><ChangeBatch/></A>`,
		"one in another namespace": `<A><ChangeBatch/><x:ChangeBatch/></A>`,
		"another case":             `<A><changebatch/></A>`,
		"a text for a structure":   `<A><ChangeBatch>x</ChangeBatch></A>`,
		"another name in a list":   `<A><ChangeBatch><Changes><Other/></Changes></ChangeBatch></A>`,
		"elements in a text":       `<A><ChangeBatch><Comment><x/></Comment></ChangeBatch></A>`,
	} {
		if got, err := read(body); err == nil {
			t.Errorf("%s is accepted: %v", name, got)
		}
	}
	if _, err := read(strings.Repeat("<a>", 100)); !errors.Is(err, input.ErrTooLarge) {
		t.Errorf("too deep: %v", err)
	}
}

// What JSON reads is what encoding/json reads.
func FuzzJSON(f *testing.F) {
	for _, seed := range []string{`{"a":1}`, `{"a":"\ud83d\ude00","b":[1,2,{"c":null}]}`, `{"a":1,"a":2}`, `{"A":{"b":-1.5e+7}}`, "{} ", "\x00"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		got, err := input.JSON(strings.NewReader(text))
		if err != nil {
			return
		}
		d := json.NewDecoder(strings.NewReader(text))
		d.UseNumber()
		want := map[string]any{}
		if err := d.Decode(&want); err != nil && err != io.EOF {
			t.Fatalf("%q is no JSON: %v", text, err)
		}
		if diff := cmp.Diff(want, got); diff != "" && len(text) < 60<<10 {
			t.Errorf("%q: %s", text, diff)
		}
	})
}
