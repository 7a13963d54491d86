package emulator_test

import (
	"net/http"
	"testing"

	"github.com/openirsa/openirsa/pkg/emulator"
)

// TestGuardDescribedKeys: condition keys of which only the backend knows the values.
func TestGuardDescribedKeys(t *testing.T) {
	t.Parallel()
	g := newGuarded(t, func(c *emulator.Config) { c.Forward["kms"] = c.Forward["*"] })
	const id = "11111111-2222-3333-4444-555555555555"
	const key = "arn:aws:kms:us-east-1:123456789012:key/" + id
	var bodies []string
	g.stub.ask = described(&bodies, map[string]string{
		"TrentService.DescribeKey": `{"KeyMetadata":{"Arn":"` + key + `","KeySpec":"SYMMETRIC_DEFAULT","KeyUsage":"ENCRYPT_DECRYPT","Origin":"EXTERNAL","MultiRegion":true}}`,
		"TrentService.ListAliases": `{"Aliases":[{"AliasName":"alias/k","TargetKeyId":"` + id + `"},{"AliasName":"alias/of-another","TargetKeyId":"x"}]}`,
		"TrentService.GetKeyPolicy": `{"Policy":` + quoted(`{"Version":"2012-10-17","Statement":{"Effect":"Allow","Principal":{"AWS":"arn:aws:iam::123456789012:root"},
			"Action":"kms:*","Resource":"*"}}`) + `}`,
		"secretsmanager.DescribeSecret": `{"ARN":"` + arnSecret + `app-Xy12Za","RotationLambdaARN":"` + arnLambda + `function:rotate"}`,
		"DescribeSubnets":               `<R><subnetSet><item><subnetId>subnet-1</subnetId><vpcId>vpc-1</vpcId></item></subnetSet></R>`,
	})
	encrypt := func() *http.Request {
		return g.json("kms", json11, "TrentService.Encrypt", `{"KeyId":"`+id+`","Plaintext":"YQ=="}`)
	}
	get := func() *http.Request {
		return g.json("secretsmanager", json11, "secretsmanager.GetSecretValue", `{"SecretId":"`+arnSecret+`app-Xy12Za"}`)
	}
	configure := func() *http.Request {
		return g.by("lambda", "PUT", "/2015-03-31/functions/f/configuration", `{"VpcConfig":{"SubnetIds":["subnet-1"]}}`, "Content-Type", "application/json")
	}
	for _, test := range []struct {
		r             func() *http.Request
		action        string
		key           string
		value, others string
	}{
		{encrypt, "kms:Encrypt", "kms:KeySpec", "SYMMETRIC_DEFAULT", "RSA_4096"},
		{encrypt, "kms:Encrypt", "kms:KeyUsage", "ENCRYPT_DECRYPT", "SIGN_VERIFY"},
		{encrypt, "kms:Encrypt", "kms:CustomerMasterKeySpec", "SYMMETRIC_DEFAULT", "RSA_4096"}, // the former names, which still work
		{encrypt, "kms:Encrypt", "kms:CustomerMasterKeyUsage", "ENCRYPT_DECRYPT", "SIGN_VERIFY"},
		{encrypt, "kms:Encrypt", "kms:KeyOrigin", "EXTERNAL", "AWS_KMS"},
		{encrypt, "kms:Encrypt", "kms:MultiRegion", "true", "false"},
		{encrypt, "kms:Encrypt", "kms:ResourceAliases", "alias/k", "alias/of-another"},
		{get, "secretsmanager:GetSecretValue", "secretsmanager:resource/AllowRotationLambdaArn", arnLambda + "function:rotate", arnLambda + "function:other"},
		{configure, "lambda:UpdateFunctionConfiguration", "lambda:VpcIds", "vpc-1", "vpc-2"},
	} {
		for value, allowed := range map[string]bool{test.value: true, test.others: false} {
			operator := "StringEquals"
			if test.key == "kms:ResourceAliases" || test.key == "lambda:VpcIds" {
				operator = "ForAnyValue:StringEquals"
			}
			g.policy(permitting(test.action, "*", `{"`+operator+`":{"`+test.key+`":"`+value+`"}}`))
			if rec, got, events := g.send(test.r()); allowed != (len(got) == 1) {
				t.Errorf("%s=%s: %s, events %+v", test.key, value, raw(rec), events)
			}
		}
	}
}

// TestOwnKeyProperties: what the emulator's own keys are, conditions can ask.
func TestOwnKeyProperties(t *testing.T) {
	t.Parallel()
	g := newGuarded(t)
	rec, _, _ := g.send(g.signed("test", "test", "kms", "POST", "/", `{"KeySpec":"ECC_NIST_P256","KeyUsage":"SIGN_VERIFY"}`,
		"Content-Type", json11, "X-Amz-Target", "TrentService.CreateKey"))
	id := between(rec.Body.String(), `"KeyId":"`, `"`)
	for value, status := range map[string]int{"false": http.StatusOK, "true": http.StatusBadRequest} {
		g.policy(permitting("kms:GetPublicKey", "*", `{"Bool":{"kms:MultiRegion":"`+value+`"},"StringEquals":{"kms:KeyOrigin":"AWS_KMS"}}`))
		if rec, _, _ := g.send(g.json("kms", json11, "TrentService.GetPublicKey", `{"KeyId":"`+id+`"}`)); rec.Code != status {
			t.Errorf("kms:MultiRegion=%s: %s", value, raw(rec))
		}
	}
}
