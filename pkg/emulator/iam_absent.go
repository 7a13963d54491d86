package emulator

import (
	"github.com/openirsa/openirsa/pkg/emulator/internal/wire"
	"github.com/openirsa/openirsa/pkg/policy"
)

// What the emulator does not have is absent rather than unknown: lists of it are
// empty, and one of it is not found. So a client that clears up whatever a user
// or an account may have, as Terraform does, gets through.

// absentList is an operation that lists what an account never has here. Only
// the caller's permission and the parameters count.
func absentList(list string, resource func(*Server) string) operation {
	return operation{run: func(s *Server, c *call) (func(*wire.XML), *wire.Failure) {
		c.Text("PathPrefix", rulePathPrefix)
		c.OneOf("AssignmentStatus", false, "Assigned", "Unassigned", "Any")
		c.readPage()
		if e := s.permitAccount(c, resource(s)); e != nil {
			return nil, e
		}
		return emptyPage(list), nil
	}}
}

// absentOfUser is an operation that lists what a user never has here. The user,
// who is the caller unless named, must exist.
//
//go:noinline // so that what it makes is there once, not again at each call
func absentOfUser(list string) operation {
	return operation{run: func(s *Server, c *call) (func(*wire.XML), *wire.Failure) {
		c.Bool("AllUsers")
		c.readPage()
		if c.Params["AllUsers"] == "true" || c.Params["AllUsers"] == "1" {
			if e := s.permitAccount(c, s.arn("iam", "user/*")); e != nil {
				return nil, e
			}
			return emptyPage(list), nil
		}
		if !c.Has("UserName") && c.Caller.Kind == policy.Root && identityOf(&c.Caller).session == nil {
			if e := s.permitAccount(c, c.Caller.ARN); e != nil { // the root user's own
				return nil, e
			}
			return emptyPage(list), nil
		}
		if _, e := s.lookUser(c); e != nil {
			return nil, e
		}
		return emptyPage(list), nil
	}}
}

// emptyPage is the result of an operation that lists nothing.
func emptyPage(list string) func(*wire.XML) {
	return func(x *wire.XML) {
		x.Texts(list, nil)
		writePage(x, "")
	}
}

// absent is an operation on one thing that does not exist. The parameter names
// it, and kind is the first part of the ARN of its kind, "" if the parameter is
// the ARN. text has a place for what the parameter says.
//
//go:noinline // so that what it makes is there once, not again at each call
func absent(parameter string, r wire.Rule, kind, text string) operation {
	return operation{run: func(s *Server, c *call) (func(*wire.XML), *wire.Failure) {
		name := c.Text(parameter, r)
		resource := name
		if kind != "" {
			resource = s.arn("iam", kind+"/"+name)
		}
		if e := s.permitAccount(c, resource); e != nil {
			return nil, e
		}
		return nil, noSuchEntity(text, name)
	}}
}

// absentFromUser is an operation on something that a user does not have. The
// text has a place for what the parameter says; without one, for the user.
//
//go:noinline // so that what it makes is there once, not again at each call
func absentFromUser(parameter string, r wire.Rule, text string) operation {
	return operation{run: func(s *Server, c *call) (func(*wire.XML), *wire.Failure) {
		name := ""
		if parameter != "" {
			name = c.Text(parameter, r)
		}
		u, e := s.lookUser(c)
		if e != nil {
			return nil, e
		}
		if parameter == "" {
			name = u.Name
		}
		return nil, noSuchEntity(text, name)
	}}
}

// passwordPolicy answers the operations on the account's password policy.
func (s *Server) passwordPolicy(c *call) (func(*wire.XML), *wire.Failure) {
	if e := s.permitAccount(c, "*"); e != nil {
		return nil, e
	}
	return nil, noSuchEntity("The Password Policy with domain name %s cannot be found.", s.account.ID)
}

var (
	ruleWordID     = wire.Rule{Required: true, Min: 20, Max: 128, Pattern: wire.EveryRune(`[\w]+`, isWord)}
	ruleSerial     = wire.Rule{Required: true, Min: 9, Max: 256, Pattern: wire.EveryRune(`[\w+=/:,.@-]+`, isSerial)}
	ruleResourceID = wire.Rule{Required: true, Min: 1, Max: 128, Pattern: patternName}
)

// absentOperations are the operations of IAM on what the emulator does not have.
var absentOperations = map[string]operation{
	"ListSSHPublicKeys":              absentOfUser("SSHPublicKeys"),
	"ListMFADevices":                 absentOfUser("MFADevices"),
	"ListSigningCertificates":        absentOfUser("Certificates"),
	"ListServiceSpecificCredentials": absentOfUser("ServiceSpecificCredentials"),
	"ListVirtualMFADevices":          absentList("VirtualMFADevices", func(*Server) string { return "*" }),
	"ListServerCertificates": absentList("ServerCertificateMetadataList", func(s *Server) string {
		return s.arn("iam", "server-certificate/*")
	}),

	"GetLoginProfile":          absentFromUser("", wire.Rule{}, "Login Profile for User %s cannot be found."),
	"UpdateLoginProfile":       absentFromUser("", wire.Rule{}, "Login Profile for User %s cannot be found."),
	"DeleteLoginProfile":       absentFromUser("", wire.Rule{}, "Login Profile for User %s cannot be found."),
	"GetSSHPublicKey":          absentFromUser("SSHPublicKeyId", ruleWordID, "The Public Key with id %s cannot be found."),
	"UpdateSSHPublicKey":       absentFromUser("SSHPublicKeyId", ruleWordID, "The Public Key with id %s cannot be found."),
	"DeleteSSHPublicKey":       absentFromUser("SSHPublicKeyId", ruleWordID, "The Public Key with id %s cannot be found."),
	"UpdateSigningCertificate": absentFromUser("CertificateId", ruleWordID, "The Certificate with id %s cannot be found."),
	"DeleteSigningCertificate": absentFromUser("CertificateId", ruleWordID, "The Certificate with id %s cannot be found."),
	"DeactivateMFADevice":      absentFromUser("SerialNumber", ruleSerial, "MFA Device with serial number %s cannot be found."),
	"ResyncMFADevice":          absentFromUser("SerialNumber", ruleSerial, "MFA Device with serial number %s cannot be found."),
	"ResetServiceSpecificCredential": absentFromUser("ServiceSpecificCredentialId", ruleWordID,
		"No such credential %s exists"),
	"UpdateServiceSpecificCredential": absentFromUser("ServiceSpecificCredentialId", ruleWordID,
		"No such credential %s exists"),
	"DeleteServiceSpecificCredential": absentFromUser("ServiceSpecificCredentialId", ruleWordID,
		"No such credential %s exists"),

	"GetAccountPasswordPolicy":    {run: (*Server).passwordPolicy},
	"DeleteAccountPasswordPolicy": {run: (*Server).passwordPolicy},

	"GetMFADevice":           absent("SerialNumber", ruleSerial, "", "MFA Device with serial number %s cannot be found."),
	"DeleteVirtualMFADevice": absent("SerialNumber", ruleSerial, "", "VirtualMFADevice with serial number %s doesn't exist."),
	"ListMFADeviceTags":      absent("SerialNumber", ruleSerial, "", "VirtualMFADevice with serial number %s doesn't exist."),

	"GetServerCertificate": absent("ServerCertificateName", ruleResourceID, "server-certificate",
		"The Server Certificate with name %s cannot be found."),
	"DeleteServerCertificate": absent("ServerCertificateName", ruleResourceID, "server-certificate",
		"The Server Certificate with name %s cannot be found."),
	"ListServerCertificateTags": absent("ServerCertificateName", ruleResourceID, "server-certificate",
		"The Server Certificate with name %s cannot be found."),
	"GetSAMLProvider":      absent("SAMLProviderArn", ruleARN, "", "Manifest not found for arn %s"),
	"DeleteSAMLProvider":   absent("SAMLProviderArn", ruleARN, "", "Manifest not found for arn %s"),
	"ListSAMLProviderTags": absent("SAMLProviderArn", ruleARN, "", "Manifest not found for arn %s"),
}
