package organizations

import (
	"net/http"

	"github.com/openirsa/openirsa/pkg/emulator/internal/wire"
)

func failure(code, format string, args ...any) *wire.Failure {
	return wire.Errorf(http.StatusBadRequest, code, format, args...)
}

func constraint(format string, args ...any) *wire.Failure {
	return failure("ConstraintViolationException", format, args...)
}

func invalid(format string, args ...any) *wire.Failure {
	return failure("InvalidInputException", format, args...)
}

// The errors of the operations (AWS Organizations API Reference).
var (
	errNotInUse = failure("AWSOrganizationsNotInUseException", "Your account is not a member of an organization.")
	errAlready  = failure("AlreadyInOrganizationException", "The provided account is already a member of an organization.")
	errNoAccess = failure("AccessDeniedException", "You don't have permissions to access this resource.")

	errNoRoot        = failure("RootNotFoundException", "You specified a root that doesn't exist.")
	errNoParent      = failure("ParentNotFoundException", "You specified a parent that doesn't exist.")
	errNoChild       = failure("ChildNotFoundException", "You specified a child that doesn't exist.")
	errNoAccount     = failure("AccountNotFoundException", "You specified an account that doesn't exist.")
	errNoUnit        = failure("OrganizationalUnitNotFoundException", "You specified an organizational unit that doesn't exist.")
	errNoTarget      = failure("TargetNotFoundException", "You specified a target that doesn't exist.")
	errNoPolicy      = failure("PolicyNotFoundException", "You specified a policy that doesn't exist.")
	errNoSource      = failure("SourceParentNotFoundException", "You specified a source parent that doesn't exist.")
	errNoDestination = failure("DestinationParentNotFoundException", "You specified a destination parent that doesn't exist.")
	errSamePlace     = failure("DuplicateAccountException", "That account is already present in the specified destination.")
	errSameUnit      = failure("DuplicateOrganizationalUnitException", "An OU with the same name already exists.")
	errUnitNotEmpty  = failure("OrganizationalUnitNotEmptyException", "The specified OU is not empty. Move all accounts to another "+
		"root or to other OUs, remove all child OUs, and try the operation again.")

	errTypeEnabled = failure("PolicyTypeAlreadyEnabledException", "The specified policy type is already enabled.")
	errTypeOff     = failure("PolicyTypeNotEnabledException", "This operation can be performed only for enabled policy types.")
	errTypeNotHere = failure("PolicyTypeNotAvailableForOrganizationException", "You can't use the specified policy type with the "+
		"feature set currently enabled for this organization.")
	errSamePolicy  = failure("DuplicatePolicyException", "A policy with the same name already exists.")
	errAttached    = failure("DuplicatePolicyAttachmentException", "The selected policy is already attached to the specified target.")
	errNotAttached = failure("PolicyNotAttachedException", "The policy isn't attached to the specified target in the specified root.")
	errInUse       = failure("PolicyInUseException", "The policy is attached to one or more entities. You must detach it from all "+
		"roots, OUs, and accounts before performing this operation.")
	errOfAWS = failure("AccessDeniedException", "You can't modify or delete a policy that is managed by AWS.")
	errLast  = constraint("You cannot remove the last policy attached to the specified target. " +
		"You must have at least one attached at all times.")
	errMost = constraint("You have attached the maximum number of policies to the specified target.")
	errSize = constraint("You have exceeded the maximum policy size.")
)
