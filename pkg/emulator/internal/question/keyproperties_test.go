package question_test

import (
	"context"
	"strings"
	"testing"

	"github.com/openirsa/openirsa/pkg/emulator/internal/question"
)

// TestKeysOfDescriptions: condition keys that only a description of the resource tells.
func TestKeysOfDescriptions(t *testing.T) {
	w := world()
	w.Facts[question.Fact{Kind: question.KeyByID, Name: keyID}] = question.Known{Text: keyARN, Pairs: map[string]string{
		"kms:KeySpec": "SYMMETRIC_DEFAULT", "kms:KeyUsage": "ENCRYPT_DECRYPT", "kms:KeyOrigin": "EXTERNAL", "kms:MultiRegion": "false",
	}}
	w.Facts[question.Fact{Kind: question.KeyAliases, Name: keyID}] = question.Known{List: []string{"alias/k", "alias/other"}}
	w.Facts[question.Fact{Kind: question.EncryptionKey, Name: expand("~sqs:mail")}] = question.Known{Text: "alias/k"}
	w.Facts[question.Fact{Kind: question.RotationFunction, Name: secret}] = question.Known{Text: expand("~lambda:function:rotate")}
	w.Facts[question.Fact{Kind: question.SubnetVPC, Name: "subnet-1"}] = question.Known{Text: "vpc-1"}
	w.Facts[question.Fact{Kind: question.SubnetVPC, Name: "subnet-2"}] = question.Known{Text: "vpc-1"}
	ofKey := []string{"kms:KeySpec=SYMMETRIC_DEFAULT", "kms:KeyUsage=ENCRYPT_DECRYPT", "kms:KeyOrigin=EXTERNAL", "kms:MultiRegion=false",
		"kms:CustomerMasterKeyUsage=ENCRYPT_DECRYPT", "kms:ResourceAliases=alias/k,alias/other"}
	const rotation = "secretsmanager:resource/AllowRotationLambdaArn"
	for _, c := range []struct {
		operation, input string
		keys             []string
	}{
		{"kms.GenerateDataKey", `{"KeyId":"alias/k","KeySpec":"AES_256"}`, ofKey},
		{"kms.DeleteAlias", `{"AliasName":"alias/k"}`, []string{"kms:KeySpec", "kms:ResourceAliases", "1 kms:KeyOrigin=EXTERNAL"}},
		{"kms.CreateKey", `{"KeySpec":"RSA_4096"}`, []string{"kms:KeySpec=RSA_4096", "kms:CustomerMasterKeySpec=RSA_4096", "kms:ResourceAliases"}},
		{"sqs.SendMessage", `{"QueueUrl":"http://x/123456789012/mail"}`, []string{"kms:KeyOrigin", "1 kms:KeyOrigin=EXTERNAL",
			"1 kms:CustomerMasterKeySpec=SYMMETRIC_DEFAULT", "1 kms:ResourceAliases=alias/k,alias/other"}},
		{"secretsmanager.GetSecretValue", `{"SecretId":"app"}`, []string{rotation + "=~lambda:function:rotate"}},
		{"secretsmanager.CreateSecret", `{"Name":"app"}`, []string{rotation}},
		{"lambda.CreateFunction", `{"FunctionName":"f","VpcConfig":{"SubnetIds":["subnet-1","subnet-2"]}}`, []string{"lambda:VpcIds=vpc-1"}},
		{"lambda.UpdateFunctionConfiguration", `{"FunctionName":"f","VpcConfig":{"SubnetIds":["subnet-1","subnet-9"]}}`, []string{"lambda:VpcIds"}},
		{"lambda.UpdateFunctionConfiguration", `{"FunctionName":"f"}`, []string{"lambda:VpcIds"}},
	} {
		in := call(t, c.operation, c.input)
		questions := ask(t, in, w)
		wantKeys(t, questions, c.keys...)
		for _, line := range c.keys {
			name, _, _ := strings.Cut(strings.TrimPrefix(line, "1 "), "=")
			at := strings.Count(line, "1 ")
			if !questions[at].Computes(name) {
				t.Errorf("%s: it does not say that it computes %s", c.operation, name)
			}
		}
	}
	// What no policy mentions is not asked.
	w.Keys = []string{"aws:SourceIp"}
	for _, c := range [][2]string{
		{"kms.GenerateDataKey", `{"KeyId":"` + keyID + `"}`},
		{"secretsmanager.GetSecretValue", `{"SecretId":"` + secret + `"}`},
		{"lambda.CreateFunction", `{"FunctionName":"f","VpcConfig":{"SubnetIds":["subnet-1"]}}`},
	} {
		counting := &asked{Memory: w}
		ask(t, call(t, c[0], c[1]), counting)
		for _, f := range counting.facts {
			if f.Kind != question.EncryptionKey {
				t.Errorf("%s asks for the %s of %s", c[0], f.Kind, f.Name)
			}
		}
	}
}

// asked is a world that notes what it is asked.
type asked struct {
	*question.Memory
	facts []question.Fact
}

func (a *asked) Find(ctx context.Context, f question.Fact) (question.Known, bool, error) {
	a.facts = append(a.facts, f)
	return a.Memory.Find(ctx, f)
}
