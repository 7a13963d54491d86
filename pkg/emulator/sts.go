package emulator

// stsOperations are the operations of STS that the emulator has.
var stsOperations = map[string]operation{
	"AssumeRoleWithWebIdentity": {run: (*Server).assumeRoleWithWebIdentity, unsigned: true},
	"GetCallerIdentity":         {run: (*Server).getCallerIdentity},
}

func (s *Server) getCallerIdentity(c *call) (func(*xmlWriter), *awsError) {
	event := c.event()
	event.Decision, event.Step, event.Reason = Allow, "signature", "the signature is valid, and the operation needs no permission"
	s.record(entry{Event: event})
	return func(x *xmlWriter) {
		x.text("Arn", c.caller.ARN)
		x.text("UserId", c.caller.userID)
		x.text("Account", c.caller.Account)
	}, nil
}
