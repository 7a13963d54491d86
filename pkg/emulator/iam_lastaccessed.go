package emulator

import (
	"github.com/openirsa/openirsa/pkg/emulator/internal/api"
	"github.com/openirsa/openirsa/pkg/emulator/internal/wire"
)

func (s *Server) generateLastAccessed(c *call) (func(*wire.XML), *wire.Failure) {
	arn := c.Text("Arn", ruleARN)
	c.OneOf("Granularity", false, "SERVICE_LEVEL", "ACTION_LEVEL")
	if e := s.permitAccount(c, arn); e != nil {
		return nil, e
	}
	var known bool
	s.iam.read(func() {
		known = s.iam.lookupManaged(arn) != nil
		for e := range s.iam.entities() {
			known = known || e.ARN == arn
		}
	})
	if !known {
		return nil, noSuchEntity("ARN %s does not exist.", arn)
	}
	id := api.NewID()
	s.reports.mu.Lock()
	s.reports.jobs.put(id, c.At)
	s.reports.mu.Unlock()
	return func(x *wire.XML) { x.Text("JobId", id) }, nil
}

// getLastAccessed is always empty: which services an entity used is not kept.
func (s *Server) getLastAccessed(c *call) (func(*wire.XML), *wire.Failure) {
	id := c.Text("JobId", wire.Rule{Required: true, Min: 36, Max: 36})
	c.readPage()
	if e := s.permitAccount(c, "*"); e != nil {
		return nil, e
	}
	s.reports.mu.Lock()
	at, ok := s.reports.jobs.get(id)
	s.reports.mu.Unlock()
	if !ok {
		return nil, noSuchEntity("Job with id %s cannot be found.", id)
	}
	return func(x *wire.XML) {
		x.Text("JobStatus", "COMPLETED")
		x.Text("JobType", "SERVICE_LEVEL")
		x.Time("JobCreationDate", at)
		x.Time("JobCompletionDate", at)
		x.Texts("ServicesLastAccessed", nil)
		x.Bool("IsTruncated", false)
	}, nil
}
