package policy

import (
	"slices"
	"strings"
)

// everyAction marks condition keys that all of S3's actions have.
var everyAction = []string{"*"}

var (
	uploadActions   = []string{"putobject", "bypassgovernanceretention"}
	encryptActions  = append([]string{"replicateobject"}, uploadActions...)
	listActions     = []string{"putobjectacl", "putobjectversionacl", "createbucket", "putbucketacl"} // that set access control lists
	lockActions     = append([]string{"putobjectretention", "putobjectlegalhold", "replicateobject"}, uploadActions...)
	readListActions = []string{"listbucket", "listbucketversions"}
	jobActions      = []string{"createjob", "updatejobpriority", "updatejobstatus"}
	taggedActions   = []string{
		"getobject", "getobjectversion", "getobjectacl", "getobjectversionacl", "putobjectacl", "putobjectversionacl",
		"getobjecttagging", "getobjectversiontagging", "putobjecttagging", "putobjectversiontagging",
		"deleteobjecttagging", "deleteobjectversiontagging", "getobjectattributes", "getobjectversionattributes",
	}
	taggingActions = append([]string{"putobjecttagging", "putobjectversiontagging"}, uploadActions...)
	versionActions = []string{
		"getobjectversion", "getobjectversionacl", "getobjectversionattributes", "getobjectversiontagging", "getobjectversiontorrent",
		"getobjectversionforreplication", "putobjectversionacl", "putobjectversiontagging", "deleteobjectversion", "deleteobjectversiontagging",
	}
)

// bucketKeys are S3's condition keys and the actions that have them, all in
// lower case and without "s3:". Those that end in "/" are followed by the key of a
// tag. Sources: "Actions, resources, and condition keys for Amazon S3" in the
// Service Authorization Reference, and where that is silent or differs public
// records of what S3 accepts.
var bucketKeys = map[string][]string{
	"accessgrantsinstancearn": everyAction, "accessgrantslocationscope": everyAction, "accessgrantscope": everyAction,
	"accesspointnetworkorigin": everyAction, "accesspointtag/": everyAction, "authtype": everyAction, "buckettag/": everyAction,
	"dataaccesspointaccount": everyAction, "dataaccesspointarn": everyAction, "resourceaccount": everyAction,
	"resourcearnbeingauthorized": everyAction, "signatureage": everyAction, "signatureversion": everyAction,
	"tlsversion": everyAction, "x-amz-content-sha256": everyAction,

	"delimiter": readListActions, "max-keys": readListActions, "prefix": readListActions,

	"existingobjecttag/": taggedActions, "requestobjecttag/": taggingActions, "requestobjecttagkeys": taggingActions,

	"x-amz-acl": slices.Concat(uploadActions, listActions), "x-amz-grant-full-control": slices.Concat(uploadActions, listActions),
	"x-amz-grant-read": slices.Concat(uploadActions, listActions), "x-amz-grant-read-acp": slices.Concat(uploadActions, listActions),
	"x-amz-grant-write": everyAction, "x-amz-grant-write-acp": everyAction,
	"x-amz-object-ownership": {"createbucket", "putbucketownershipcontrols"},

	"x-amz-copy-source": uploadActions, "x-amz-metadata-directive": uploadActions, "x-amz-website-redirect-location": uploadActions,
	"x-amz-object-annotation-directive": uploadActions, "x-amz-object-if-match": uploadActions,
	"x-amz-storage-class": slices.Concat(uploadActions,
		[]string{"putobjectacl", "putobjectversionacl", "replicateobject"}),
	"x-amz-server-side-encryption":                    encryptActions,
	"x-amz-server-side-encryption-aws-kms-key-id":     encryptActions,
	"x-amz-server-side-encryption-customer-algorithm": encryptActions,
	"if-match": {"putobject", "deleteobject", "deleteobjectversion"}, "if-none-match": {"putobject"},
	"objectcreationoperation": {"putobject"},

	"object-lock-legal-hold": lockActions, "object-lock-mode": lockActions, "object-lock-retain-until-date": lockActions,
	"object-lock-remaining-retention-days": append([]string{"putbucketobjectlockconfiguration"}, lockActions...),

	"versionid":          versionActions,
	"locationconstraint": {"createbucket"}, "x-amz-bucket-namespace": {"createbucket"},
	"inventoryaccessibleoptionalfields": {"putinventoryconfiguration"}, "isreplicationpauserequest": {"putreplicationconfiguration"},
	"destinationregion": {"putreplicationconfiguration", "replicateobject"},
	"annotation-prefix": {"listobjectannotations"}, "max-annotation-results": {"listobjectannotations"},
	"deliverysourcearn": everyAction, "logtype": everyAction, "inventoryfield": everyAction,
	"existingjoboperation": jobActions, "existingjobpriority": jobActions, "jobsuspendedcause": jobActions,
	"requestjoboperation": jobActions, "requestjobpriority": jobActions,
}

// sessionKeys are keys of other services that sessions carry everywhere.
var sessionKeys = []string{
	"codebuild:buildarn", "codebuild:projectarn", "ec2:roledelivery", "ec2:sourceinstancearn", "glue:credentialissuingservice",
	"glue:roleassumedby", "identitystore:userid", "lambda:sourcefunctionarn", "ssm:sourceinstancearn",
}

// bucketKeyActions are the actions that have a condition key; without any, S3 does
// not know the key. Global keys ("aws:") are not checked, and neither are those of
// identity providers, whose names are hosts.
func bucketKeyActions(key string) (actions []string, known bool) {
	service, name, found := strings.Cut(strings.ToLower(key), ":")
	switch {
	case !found || name == "":
		return nil, false
	case service == "aws" || strings.Contains(service, ".") || slices.Contains(sessionKeys, service+":"+name):
		return everyAction, true
	case service != "s3":
		return nil, false
	}
	if prefix, tag, tagged := strings.Cut(name, "/"); tagged && tag != "" {
		name = prefix + "/"
	}
	actions, known = bucketKeys[name]
	return actions, known
}

// checkConditions refuses condition keys that S3 does not know, or that an
// action of the statement does not have. An action with wildcards has the keys
// of everything it stands for and that the resources allow.
func (s *statement) checkConditions(onBucket, onObjects bool) error {
	for i := range s.conditions {
		having, known := bucketKeyActions(s.conditions[i].key)
		if !known {
			return &Error{Code: "MalformedPolicy", Message: "Policy has an invalid condition key"}
		}
		if s.notAction || having[0] == "*" {
			continue
		}
		for _, raw := range s.actions.raw {
			pattern := compileGlob(strings.TrimPrefix(strings.ToLower(raw), "s3:"), globSyntax{wildcards: true})
			if !slices.ContainsFunc(having, func(action string) bool {
				reached := onBucket
				if isObjectAction("s3:" + action) {
					reached = onObjects
				}
				return (reached || s.notResource) && pattern.match(action, false)
			}) {
				return &Error{Code: "MalformedPolicy", Message: "Conditions do not apply to combination of actions and resources in statement"}
			}
		}
	}
	return nil
}

// isObjectAction reports whether an action is on objects and not on buckets
// ("Actions, resources, and condition keys for Amazon S3").
func isObjectAction(action string) bool {
	_, name, _ := strings.Cut(strings.ToLower(action), ":")
	if strings.Contains(name, "bucket") {
		return false
	}
	return strings.Contains(name, "object") || name == "abortmultipartupload" || name == "listmultipartuploadparts" ||
		name == "bypassgovernanceretention"
}
