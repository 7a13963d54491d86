// Package input reads the input of a call to an AWS service, in whatever protocol
// it was sent, as one tree: the members of the operation as the service's model
// names them.
//
//	tree, err := input.JSON(body)
//	members, err := input.Members(op, tree)
//
// The tree decides what a caller may do, while a backend reads the bytes that were
// sent. So whatever two readers may take for two different things is refused:
// members of the same name, names that differ in case from those of the model,
// bytes that are not UTF-8.
package input
