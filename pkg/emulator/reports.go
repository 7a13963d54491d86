package emulator

import (
	"sync"
	"time"
)

// accessReports are the jobs of GenerateServiceLastAccessedDetails that can
// still be asked for.
type accessReports struct {
	mu   sync.Mutex
	jobs generations[time.Time] // when they were made, by id
}

func (r *accessReports) clear() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.jobs = generations[time.Time]{}
}
