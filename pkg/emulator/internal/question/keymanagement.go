package question

import (
	"slices"
	"strings"
)

// kms are the actions of AWS KMS (AWS Key Management Service Developer Guide, "Key
// access and permissions" and "AWS KMS condition keys").
var kms = family{
	rules: map[string]rule{
		"ReEncrypt": reEncrypt,
		"Decrypt":   func(a *asker) { a.askCiphertext("Decrypt", "KeyId") },

		"CreateAlias": asks("", aliasNamed, keyOf("TargetKeyId")),
		"UpdateAlias": asks("", aliasNamed, keyOf("AliasName"), keyOf("TargetKeyId")),
		"DeleteAlias": asks("", aliasNamed, keyOf("AliasName")),

		"RetireGrant":         asks("", grantKey),
		"CreateKey":           both(asks("", star), creates("key/<?uuid>")),
		"GenerateRandom":      asks("", star),
		"ListAliases":         asks("", star),
		"ListKeys":            asks("", star),
		"ListRetirableGrants": asks("", star),
	},
	otherwise: keyIfListed,
	keys:      kmsKeys,
	computed: []string{
		"kms:EncryptionContext:", "kms:EncryptionContextKeys", "kms:EncryptionAlgorithm", "kms:RequestAlias", "kms:CallerAccount",
		"kms:ViaService", "kms:SigningAlgorithm", "kms:MessageType", "kms:MacAlgorithm", "kms:GrantOperations",
		"kms:GranteePrincipal", "kms:RetiringPrincipal", "kms:GrantConstraintType", "kms:GrantIsForAWSResource",
		"kms:ScheduleKeyDeletionPendingWindowInDays", "kms:BypassPolicyLockoutSafetyCheck", "kms:ReEncryptOnSameKey",
		"kms:DataKeyPairSpec", "kms:ReplicaRegion", "kms:PrimaryRegion", "kms:RotationPeriodInDays", "kms:WrappingAlgorithm",
		"kms:WrappingKeySpec", "kms:ExpirationModel", "kms:ValidTo", "kms:KeyAgreementAlgorithm", "kms:KeySpec", "kms:KeyUsage",
		"kms:KeyOrigin", "kms:MultiRegion", "kms:MultiRegionKeyType", "kms:ResourceAliases", "kms:CustomerMasterKeySpec",
		"kms:CustomerMasterKeyUsage",
	},
}

// keyIfListed is the rule of operations on a key; those of key stores have none.
func keyIfListed(a *asker) {
	if action := a.listed(a.action("")); action != nil && len(action.Types) > 0 {
		a.ask("", keyOf("KeyId")(a)...)
		return
	}
	general(a)
}

// aliasNamed is the alias of a call, whose name has its prefix.
func aliasNamed(a *asker) []target {
	name := str(a.Input, "AliasName")
	switch {
	case name == "":
		return to("alias/<?name>")(a)
	case strings.HasPrefix(name, "arn:"):
		return []target{{arn: name}}
	}
	return []target{{arn: a.arn(name)}}
}

// keyOf is the key that a member names by id, by ARN, or by an alias of it.
func keyOf(member string) source {
	return func(a *asker) []target { return []target{a.key(str(a.Input, member))} }
}

// key is a key by its id, its ARN, or an alias.
func (a *asker) key(id string) target {
	name, region, account := id, a.Region, a.Account
	if s, is := parseARN(id); is {
		if !strings.HasPrefix(s.resource, "alias/") {
			return target{arn: id}
		}
		name, region, account = s.resource, s.region, s.account
	}
	switch {
	case strings.HasPrefix(name, "alias/"):
		if known, ok := a.find(Fact{Kind: KeyOfAlias, Region: region, Account: account, Name: name}); ok && known.Text != "" {
			return target{arn: known.Text}
		}
		a.warn("the key of %s is not known", name)
		fallthrough
	case name == "":
		return to("key/<?uuid>")(a)[0]
	}
	return target{arn: a.arn("key/" + name)}
}

// ciphertext is the member that holds what is to be decrypted.
const ciphertext = "CiphertextBlob"

// askCiphertext asks for an action on the key that a member names, which it need not, and
// on that of the ciphertext: AWS refuses a call for which they are two, emulators decrypt
// with the latter. They begin a ciphertext with the id of its key; where it is hidden
// only the answer tells, in the same member.
func (a *asker) askCiphertext(action, member string) {
	id := str(a.Input, member)
	if id != "" {
		a.ask(action, a.key(id))
	}
	sent, given := a.Input[ciphertext]
	if !given && id != "" {
		return
	}
	if b := blob(sent); len(b) >= len(sampleUUID) && isUUID(string(b[:len(sampleUUID)])) {
		if known, ok := a.find(Fact{Kind: KeyByID, Name: string(b[:len(sampleUUID)])}); ok && known.Text != "" {
			a.ask(action, target{arn: known.Text})
			return
		}
	}
	before := len(a.out)
	a.add(a.action(action), to("key/<?uuid>")(a)[0], 0)
	for i := before; i < len(a.out); i++ {
		a.out[i].FromAnswer = member
	}
}

// isUUID reports whether s has the form of a UUID.
func isUUID(s string) bool {
	for i, r := range s {
		hyphen := i == 8 || i == 13 || i == 18 || i == 23
		if hyphen != (r == '-') || !hyphen && !strings.ContainsRune("0123456789abcdefABCDEF", r) {
			return false
		}
	}
	return len(s) == len(sampleUUID)
}

// reEncrypt asks about both keys: there is no action of the operation's name.
func reEncrypt(a *asker) {
	a.askCiphertext("ReEncryptFrom", "SourceKeyId")
	a.ask("ReEncryptTo", a.key(str(a.Input, "DestinationKeyId")))
}

// grantKey is the key of a grant: that which the call names, and that for which the
// grant of its token was given. The id of a grant is one beside a key.
func grantKey(a *asker) []target {
	var keys []target
	if str(a.Input, "KeyId") != "" {
		keys = keyOf("KeyId")(a)
	}
	for _, name := range strs(a.Input, "GrantToken") {
		keys = append(keys, a.keyOfGrant(name))
	}
	if keys == nil {
		return []target{a.keyOfGrant(str(a.Input, "GrantId"))}
	}
	return keys
}

// keyOfGrant is the key for which a grant was given, any if nobody knows it.
func (a *asker) keyOfGrant(name string) target {
	if name != "" {
		if known, ok := a.find(Fact{Kind: GrantKey, Name: name}); ok && known.Text != "" {
			return target{arn: known.Text}
		}
	}
	return to("key/<?uuid>")(a)[0]
}

// kmsDefaults are the values of members that are not given, by key and the actions
// that have the key.
var kmsDefaults = []struct{ key, member, fallback, actions string }{
	{"kms:EncryptionAlgorithm", "EncryptionAlgorithm", "SYMMETRIC_DEFAULT",
		"Encrypt Decrypt GenerateDataKey GenerateDataKeyWithoutPlaintext GenerateDataKeyPair GenerateDataKeyPairWithoutPlaintext"},
	{"kms:EncryptionAlgorithm", "SourceEncryptionAlgorithm", "SYMMETRIC_DEFAULT", "ReEncryptFrom"},
	{"kms:EncryptionAlgorithm", "DestinationEncryptionAlgorithm", "SYMMETRIC_DEFAULT", "ReEncryptTo"},
	{"kms:MessageType", "MessageType", "RAW", "Sign Verify"},
	{"kms:ScheduleKeyDeletionPendingWindowInDays", "PendingWindowInDays", "30", "ScheduleKeyDeletion"},
	{"kms:DataKeyPairSpec", "KeyPairSpec", "", "GenerateDataKeyPair GenerateDataKeyPairWithoutPlaintext"},
	{"kms:KeySpec", "CustomerMasterKeySpec", "SYMMETRIC_DEFAULT", "CreateKey"}, // the deprecated name of the next
	{"kms:KeySpec", "KeySpec", "", "CreateKey"},
	{"kms:KeyUsage", "KeyUsage", "ENCRYPT_DECRYPT", "CreateKey"},
	{"kms:KeyOrigin", "Origin", "AWS_KMS", "CreateKey"},
	{"kms:MultiRegion", "MultiRegion", "false", "CreateKey"},
	// Policies tell from the next two whether their members are given.
	{"kms:BypassPolicyLockoutSafetyCheck", "BypassPolicyLockoutSafetyCheck", "", "CreateKey PutKeyPolicy"},
	{"kms:ExpirationModel", "ExpirationModel", "", "ImportKeyMaterial"},
	{"kms:GrantIsForAWSResource", "", "false", "CreateGrant ListGrants RevokeGrant"},
}

func kmsKeys(a *asker, q *Question) {
	_, action, _ := strings.Cut(q.Action, ":")
	q.Keys.Set("kms:CallerAccount", a.Account)
	a.setKeyProperties(q)
	for _, d := range kmsDefaults {
		if !hasWord(d.actions, action) {
			continue
		}
		value := d.fallback
		if d.member != "" {
			if s := str(a.Input, d.member); s != "" {
				value = s
			}
		}
		if value != "" {
			q.Keys.Set(d.key, value)
		}
	}
	if action == "CreateKey" && str(a.Input, "MultiRegion") == "true" {
		q.Keys.Set("kms:MultiRegionKeyType", "PRIMARY")
	}
	setDeprecated(q)
	member := map[string]string{"ReEncryptFrom": "SourceEncryptionContext", "ReEncryptTo": "DestinationEncryptionContext"}[action]
	if member == "" {
		member = "EncryptionContext"
	}
	if pairs := dict(a.Input[member]); len(pairs) > 0 {
		names := sorted(pairs)
		for _, name := range names {
			if value, ok := text(pairs[name]); ok {
				q.Keys.Set("kms:EncryptionContext:"+name, value)
			}
		}
		q.Keys.SetMulti("kms:EncryptionContextKeys", names...)
	}
	switch action {
	case "Decrypt", "ReEncryptFrom":
		if q == &a.out[0] { // the key that the call names, and not that of the ciphertext
			setAlias(q, firstOf(a.Input, "SourceKeyId", "KeyId"))
		}
	case "ReEncryptTo":
		setAlias(q, str(a.Input, "DestinationKeyId"))
	default:
		setAlias(q, str(a.Input, "KeyId"))
	}
	switch a.Operation {
	case "CreateGrant":
		kmsGrant(a, q)
	case "ReEncrypt":
		other := func(key Question) bool { return key.Resource != q.Resource }
		if !slices.ContainsFunc(a.out, func(key Question) bool { return !key.Known }) {
			q.Keys.Set("kms:ReEncryptOnSameKey", isTrue(!slices.ContainsFunc(a.out, other)))
		}
	}
}

func isTrue(b bool) string {
	if b {
		return "true"
	}
	return "false"
}

// setAlias sets the alias by which a call names its key.
func setAlias(q *Question, id string) {
	if s, is := parseARN(id); is {
		id = s.resource
	}
	if strings.HasPrefix(id, "alias/") {
		q.Keys.Set("kms:RequestAlias", id)
	}
}

// kmsGrant sets the keys of a grant that is given.
func kmsGrant(a *asker, q *Question) {
	if operations := texts(a.Input["Operations"]); operations != nil {
		q.Keys.SetMulti("kms:GrantOperations", operations...)
	}
	constraints := dict(a.Input["Constraints"])
	for _, kind := range []string{"EncryptionContextEquals", "EncryptionContextSubset"} {
		pairs := dict(constraints[kind])
		if len(pairs) == 0 {
			continue
		}
		q.Keys.Set("kms:GrantConstraintType", kind)
		q.Keys.SetMulti("kms:EncryptionContextKeys", sorted(pairs)...)
		for _, name := range sorted(pairs) {
			if value, ok := text(pairs[name]); ok {
				q.Keys.Set("kms:EncryptionContext:"+name, value)
			}
		}
	}
}
