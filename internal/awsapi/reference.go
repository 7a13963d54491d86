package awsapi

// A Service is what the Service Authorization Reference says of the actions
// with one prefix.
type Service struct {
	Prefix string
	// Name is the service's in words, such as "Amazon DynamoDB".
	Name string
	// Actions are by name, without the prefix: "PutItem".
	Actions map[string]*Action
	// Types are the types of resources by name, such as "table".
	//
	// An ARN that a request names is to be held against all of them, and not only
	// against those of the action: where the reference has two pages for a prefix, as
	// for elasticloadbalancing and apigateway, the source of this table gives an
	// action that is on both only the types of one.
	Types map[string]*ResourceType
	// Keys are the condition keys, and their types as the reference has them:
	// "String", "ArrayOfString", "Bool", "Numeric", "ARN"...
	// A part of a name that is not fixed is ${TagKey}, or another word.
	Keys map[string]string
}

// An Action is what a policy may allow.
type Action struct {
	Name string
	// Level is "List", "Read", "Tagging", "Write" or "Permissions management".
	Level string
	// Types are the types of resources that a policy may name for it; none if that
	// can only be "*". They are no conjunction, required or not: of some actions they
	// are alternatives.
	Types []TypeUse
	// Keys are condition keys for the action with any resource. Those of its types
	// are with them.
	Keys []string
	// Dependent are actions, with prefixes, that the caller may need as well, such as
	// "iam:PassRole". Most are needed only if the request gives something for them to
	// be done with. They are of an older edition of the reference's data than the
	// rest, see the README.
	Dependent []string
}

// A TypeUse is the use of a type of resources by an action.
type TypeUse struct {
	Name     string // a key of [Service.Types]
	Required bool   // as the reference has it
	// Keys are condition keys for the action with a resource of this type, beside
	// those of the action and of the type.
	Keys []string
}

// A ResourceType is a type of resources.
type ResourceType struct {
	Name string
	// Templates are forms of ARNs, with placeholders such as ${TableName}; ${Partition},
	// ${Region} and ${Account} stand for what they do everywhere. A few have a * for
	// anything.
	Templates []string
	// Keys are condition keys that tell of a resource of the type, such as
	// "aws:ResourceTag/${TagKey}".
	Keys []string
}
