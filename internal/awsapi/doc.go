// Package awsapi has tables of AWS's interfaces: how each service is spoken to,
// from the service models that AWS publishes with its SDKs, and what its actions
// and resources are, from the Service Authorization Reference. They are made by
// [github.com/openirsa/openirsa/internal/awsapi/gen], and the README beside says
// from what.
//
// What a request is for, and what must be allowed for it, begins with
//
//	for _, m := range awsapi.BySigning("lambda") {
//		op, labels := m.Route("GET", "/2015-03-31/functions/web", nil)
//		if op == nil {
//			continue
//		}
//		action := m.Action(op.Name) // lambda:GetFunction, of one type, function
//		...
//	}
//
// The tables are compressed in the program. What tells the services apart is read
// when it is first asked for; all else of a service when that service first is. So
// a program that asks for none has nothing in memory, and one that asks for a few
// has some tens of kilobytes for each.
//
// Everything here may be used by several goroutines at once. Nothing that is
// returned may be changed: it is shared.
package awsapi
