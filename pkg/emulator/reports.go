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
