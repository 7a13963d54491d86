package guard

import (
	"cmp"
	"encoding/xml"
	"errors"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/openirsa/openirsa/pkg/emulator/internal/question"
)

// askers ask backends, by kind of fact. What is not in the table, such as the stream of
// an iterator, can only be remembered.
var askers map[question.Kind]asker

func init() {
	askers = map[question.Kind]asker{
		question.SecretARN:        askSecret,
		question.KeyOfAlias:       askKey,
		question.KeyByID:          askKey,
		question.TableKeys:        askTable,
		question.Workgroup:        askWorkgroup,
		question.MappingFunction:  askMapping,
		question.InstanceGroup:    askInstanceGroup,
		question.VerifiedIdentity: askIdentity,
		question.Tags:             askTags,
		question.ResourcePolicy:   askPolicy,
		question.EncryptionKey:    askEncryptionKey,
		question.AccountKeys:      askKeys,
		question.ChangeSetStack:   askChangeSet,
		question.TemplateProfile:  askTemplate,
		question.TaskRoles:        askTaskRoles,
		question.SubnetVPC:        askSubnet,
		question.KeyAliases:       askAliases,
		question.RotationFunction: askRotation,
	}
}

type m = map[string]any

func askSecret(q *asking) (question.Known, bool, error) {
	var out struct{ ARN, KmsKeyId string }
	if err := q.json("secretsmanager", "DescribeSecret", m{"SecretId": q.Name}, &out); err != nil {
		return none(err)
	}
	q.saysKey(out.ARN, out.KmsKeyId)
	return question.Known{Text: out.ARN}, out.ARN != "", nil
}

func askKey(q *asking) (question.Known, bool, error) {
	var out struct {
		KeyMetadata struct {
			Arn, KeyManager, KeySpec, CustomerMasterKeySpec, KeyUsage, Origin string
			MultiRegion                                                       bool
			MultiRegionConfiguration                                          struct{ MultiRegionKeyType string }
		}
	}
	if err := q.json("kms", "DescribeKey", m{"KeyId": q.Name}, &out); err != nil {
		return none(err)
	}
	is := &out.KeyMetadata
	known := question.Known{Text: is.Arn, Pairs: map[string]string{"kms:MultiRegion": strconv.FormatBool(is.MultiRegion)}}
	for name, value := range map[string]string{
		"kms:KeySpec": cmp.Or(is.KeySpec, is.CustomerMasterKeySpec), "kms:KeyUsage": is.KeyUsage, "kms:KeyOrigin": is.Origin,
		"kms:MultiRegionKeyType": is.MultiRegionConfiguration.MultiRegionKeyType,
	} {
		if value != "" {
			known.Pairs[name] = value
		}
	}
	if is.KeyManager == question.AWSManaged {
		known.List = []string{question.AWSManaged}
	}
	return known, known.Text != "", nil
}

// maxKeys is how many keys of an account are asked about.
const maxKeys = 100

// askKeys lists the keys of an account, if they are not too many.
func askKeys(q *asking) (question.Known, bool, error) {
	var out struct {
		Keys      []struct{ KeyArn string }
		Truncated bool
	}
	err := q.json("kms", "ListKeys", m{"Limit": maxKeys}, &out)
	if err == nil && out.Truncated {
		err = errTooMany
	}
	if err != nil {
		return question.Known{}, false, err
	}
	var known question.Known
	for _, key := range out.Keys {
		known.List = append(known.List, key.KeyArn)
	}
	return known, true, nil
}

// errTooMany is returned for what there is more of than can be asked about.
var errTooMany = errors.New("there are too many")

// keyReaders read with which key a resource is encrypted, by the service in its ARN.
var keyReaders = map[string]func(*asking) (string, error){
	"sqs": func(q *asking) (string, error) {
		address, err := q.queueURL()
		if err != nil {
			return "", err
		}
		var out struct {
			Attributes struct{ KmsMasterKeyId string }
		}
		err = q.json("sqs", "GetQueueAttributes", m{"QueueUrl": address, "AttributeNames": []string{"KmsMasterKeyId"}}, &out)
		return out.Attributes.KmsMasterKeyId, err
	},
	"sns": func(q *asking) (string, error) { return q.topicAttribute("KmsMasterKeyId") },
	"s3": func(q *asking) (string, error) {
		if address := objectPath(q.Name); address != "" {
			header, err := q.head("s3", address)
			return header.Get("X-Amz-Server-Side-Encryption-Aws-Kms-Key-Id"), err
		}
		_, bucket, _ := strings.Cut(q.Name, ":::")
		text, err := q.fetch("s3", "/"+url.PathEscape(bucket)+"?encryption")
		if err != nil {
			return "", err
		}
		var out struct {
			Key string `xml:"Rule>ApplyServerSideEncryptionByDefault>KMSMasterKeyID"`
		}
		err = understood(xml.Unmarshal(text, &out))
		return out.Key, err
	},
	"secretsmanager": func(q *asking) (string, error) {
		var out struct{ KmsKeyId string }
		err := q.json("secretsmanager", "DescribeSecret", m{"SecretId": q.Name}, &out)
		return out.KmsKeyId, err
	},
	"ssm": func(q *asking) (string, error) {
		_, name, found := strings.Cut(q.Name, ":parameter")
		if !found {
			return "", errNotThere
		}
		if strings.Count(name, "/") == 1 {
			name = name[1:]
		}
		var out struct {
			Parameters []struct{ KeyId, Type string }
		}
		named := m{"Key": "Name", "Option": "Equals", "Values": []string{name}}
		err := q.json("ssm", "DescribeParameters", m{"ParameterFilters": []m{named}}, &out)
		if err != nil || len(out.Parameters) != 1 || out.Parameters[0].Type != "SecureString" {
			return "", err
		}
		return out.Parameters[0].KeyId, nil
	},
	"dynamodb": func(q *asking) (string, error) {
		var out struct {
			Table struct {
				SSEDescription struct{ Status, KMSMasterKeyArn string }
			}
		}
		err := q.json("dynamodb", "DescribeTable", m{"TableName": named(q.Name)}, &out)
		return out.Table.SSEDescription.KMSMasterKeyArn, err
	},
	"kinesis": func(q *asking) (string, error) {
		var out struct {
			StreamDescriptionSummary struct{ EncryptionType, KeyId string }
		}
		err := q.json("kinesis", "DescribeStreamSummary", m{"StreamName": named(q.Name)}, &out)
		if out.StreamDescriptionSummary.EncryptionType != "KMS" {
			return "", err
		}
		return out.StreamDescriptionSummary.KeyId, err
	},
}

// saysKey remembers the key of a resource that the answer about another fact said too, if
// that is of the account and the region that were asked.
func (q *asking) saysKey(arn, key string) {
	if part := strings.SplitN(arn, ":", 6); len(part) < 6 || part[3] != q.Region || part[4] != q.Account {
		return
	}
	q.g.memory.put(fact{
		name:  question.Fact{Kind: question.EncryptionKey, Region: q.Region, Account: q.Account, Name: arn},
		known: question.Known{Text: key}, found: true, until: time.Now().Add(believed),
	}, q.since)
}

// askEncryptionKey finds the key of a resource. A backend that cannot say encrypts
// nothing.
func askEncryptionKey(q *asking) (question.Known, bool, error) {
	read := keyReaders[strings.SplitN(q.Name, ":", 4)[2]]
	if read == nil {
		return none(errUnknown)
	}
	key, err := read(q)
	if err != nil && !errors.Is(err, errNoCall) && !errors.Is(err, errNotThere) {
		return none(err)
	}
	return question.Known{Text: key}, true, nil
}

// askTable finds the hash attributes of a table and of its indexes.
func askTable(q *asking) (question.Known, bool, error) {
	type schema []struct{ AttributeName, KeyType string }
	type index struct {
		IndexName string
		KeySchema schema
	}
	var out struct {
		Table struct {
			TableArn                                      string
			SSEDescription                                struct{ KMSMasterKeyArn string }
			KeySchema                                     schema
			GlobalSecondaryIndexes, LocalSecondaryIndexes []index
		}
	}
	if err := q.json("dynamodb", "DescribeTable", m{"TableName": q.Name}, &out); err != nil {
		return none(err)
	}
	q.saysKey(out.Table.TableArn, out.Table.SSEDescription.KMSMasterKeyArn)
	known := question.Known{Pairs: map[string]string{}}
	put := func(name string, s schema) {
		for _, key := range s {
			if key.KeyType == "HASH" {
				known.Pairs[name] = key.AttributeName
			}
		}
	}
	put("", out.Table.KeySchema)
	for _, i := range append(out.Table.GlobalSecondaryIndexes, out.Table.LocalSecondaryIndexes...) {
		put(i.IndexName, i.KeySchema)
	}
	return known, len(known.Pairs) > 0, nil
}

func askWorkgroup(q *asking) (question.Known, bool, error) {
	var out struct {
		QueryExecution struct{ WorkGroup string }
		NamedQuery     struct{ WorkGroup string }
	}
	err := q.json("athena", "GetQueryExecution", m{"QueryExecutionId": q.Name}, &out)
	if err != nil {
		err = q.json("athena", "GetNamedQuery", m{"NamedQueryId": q.Name}, &out)
	}
	if err != nil {
		return none(err)
	}
	group := cmp.Or(out.QueryExecution.WorkGroup, out.NamedQuery.WorkGroup)
	return question.Known{Text: group}, group != "", nil
}

func askMapping(q *asking) (question.Known, bool, error) {
	var out struct{ FunctionArn string }
	if err := q.get("lambda", "/2015-03-31/event-source-mappings/"+url.PathEscape(q.Name), &out); err != nil {
		return none(err)
	}
	return question.Known{Text: out.FunctionArn}, out.FunctionArn != "", nil
}

func askInstanceGroup(q *asking) (question.Known, bool, error) {
	var out struct {
		Names []string `xml:"DescribeAutoScalingInstancesResult>AutoScalingInstances>member>AutoScalingGroupName"`
	}
	err := q.query("autoscaling", url.Values{"Action": {"DescribeAutoScalingInstances"}, "InstanceIds.member.1": {q.Name}}, &out)
	if err != nil || len(out.Names) == 0 {
		return none(err)
	}
	return question.Known{Text: out.Names[0]}, true, nil
}

func askIdentity(q *asking) (question.Known, bool, error) {
	var out struct {
		Entries []struct {
			Key    string `xml:"key"`
			Status string `xml:"value>VerificationStatus"`
		} `xml:"GetIdentityVerificationAttributesResult>VerificationAttributes>entry"`
	}
	err := q.query("ses", url.Values{"Action": {"GetIdentityVerificationAttributes"}, "Identities.member.1": {q.Name}}, &out)
	if err != nil {
		return none(err)
	}
	for _, e := range out.Entries {
		if strings.EqualFold(e.Key, q.Name) && e.Status == "Success" {
			return question.Known{Text: q.Name}, true, nil
		}
	}
	return question.Known{}, false, nil
}

// askChangeSet finds the stack of a change set.
func askChangeSet(q *asking) (question.Known, bool, error) {
	var out struct {
		Stack string `xml:"DescribeChangeSetResult>StackId"`
	}
	err := q.query("cloudformation", url.Values{"Action": {"DescribeChangeSet"}, "ChangeSetName": {q.Name}}, &out)
	if err != nil {
		return none(err)
	}
	return question.Known{Text: out.Stack}, out.Stack != "", nil
}

// named is the last part of an ARN after the first of some separators.
func named(arn string) string { return arn[strings.LastIndexAny(arn, ":/")+1:] }

// queueURL is the URL of a queue by its ARN. Emulators look at its path only.
func (q *asking) queueURL() (string, error) {
	part := strings.SplitN(q.Name, ":", 6)
	var out struct{ QueueUrl string }
	err := q.json("sqs", "GetQueueUrl", m{"QueueName": part[5], "QueueOwnerAWSAccountId": part[4]}, &out)
	return out.QueueUrl, err
}

// policyReaders read policies of resources by the service in their ARNs.
var policyReaders = map[string]func(*asking) (string, error){
	"sqs": func(q *asking) (string, error) {
		address, err := q.queueURL()
		if err != nil {
			return "", err
		}
		var out struct{ Attributes struct{ Policy string } }
		err = q.json("sqs", "GetQueueAttributes", m{"QueueUrl": address, "AttributeNames": []string{"Policy"}}, &out)
		return out.Attributes.Policy, err
	},
	"sns": func(q *asking) (string, error) { return q.topicAttribute("Policy") },
	"secretsmanager": func(q *asking) (string, error) {
		var out struct{ ResourcePolicy string }
		err := q.json("secretsmanager", "GetResourcePolicy", m{"SecretId": q.Name}, &out)
		return out.ResourcePolicy, err
	},
	"lambda": func(q *asking) (string, error) {
		var out struct{ Policy string }
		part := strings.Split(q.Name, ":")
		var path string
		switch {
		case len(part) >= 7 && part[5] == "function":
			path = "/2015-03-31/functions/" + url.PathEscape(part[6]) + "/policy"
			if len(part) > 7 {
				path += "?Qualifier=" + url.QueryEscape(part[7])
			}
		case len(part) == 8 && part[5] == "layer":
			path = "/2018-10-31/layers/" + url.PathEscape(part[6]) + "/versions/" + url.PathEscape(part[7]) + "/policy"
		default:
			return "", errNotThere
		}
		err := q.get("lambda", path, &out)
		return out.Policy, err
	},
	"s3": func(q *asking) (string, error) {
		_, bucket, _ := strings.Cut(q.Name, ":::")
		text, err := q.fetch("s3", "/"+url.PathEscape(bucket)+"?policy")
		return string(text), err
	},
	"ecr": func(q *asking) (string, error) {
		_, name, found := strings.Cut(q.Name, ":repository/")
		if !found {
			return "", errNotThere
		}
		var out struct {
			PolicyText string `json:"policyText"`
		}
		err := q.json("ecr", "GetRepositoryPolicy", m{"repositoryName": name}, &out)
		return out.PolicyText, err
	},
	"kms": func(q *asking) (string, error) {
		_, id, found := strings.Cut(q.Name, ":key/")
		if !found {
			return "", errNotThere
		}
		var out struct{ Policy string }
		err := q.json("kms", "GetKeyPolicy", m{"KeyId": id, "PolicyName": "default"}, &out)
		return out.Policy, err
	},
}

// topicAttribute is an attribute of a topic.
func (q *asking) topicAttribute(name string) (string, error) {
	var out struct {
		Entries []struct {
			Key   string `xml:"key"`
			Value string `xml:"value"`
		} `xml:"GetTopicAttributesResult>Attributes>entry"`
	}
	err := q.query("sns", url.Values{"Action": {"GetTopicAttributes"}, "TopicArn": {topicOf(q.Name)}}, &out)
	for _, e := range out.Entries {
		if e.Key == name {
			return e.Value, nil
		}
	}
	return "", err
}

// topicOf is the topic of the ARN of a topic or of a subscription to it.
func topicOf(arn string) string {
	part := strings.Split(arn, ":")
	return strings.Join(part[:min(len(part), 6)], ":")
}

func askPolicy(q *asking) (question.Known, bool, error) {
	text, err := policyReaders[strings.SplitN(q.Name, ":", 4)[2]](q)
	if err != nil {
		return none(err)
	}
	return question.Known{Text: text}, text != "", nil
}
