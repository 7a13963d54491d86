package cli

import (
	"io"
	"log/slog"

	"github.com/spf13/pflag"

	"github.com/openirsa/openirsa/internal/redact"
)

// Log is how a program logs, by the flags that all programs have for it. The zero Log
// is text, at level info and above.
type Log struct{ Format, Level string }

// Flags adds --log-format and --log-level. The usage says what each level shows.
func (l *Log) Flags(f *pflag.FlagSet, levels string) {
	f.StringVar(&l.Format, "log-format", "text", "form of the log on standard error: text, or json, an object a line")
	f.StringVar(&l.Level, "log-level", "info", levels)
}

// Open makes the log, which shows no secrets. The error is one of usage.
func (l *Log) Open(w io.Writer) (*slog.Logger, error) {
	level, err := l.Lowest()
	if err != nil {
		return nil, err
	}
	return l.Logger(w, level)
}

// Lowest is the level from which on lines are logged. The error is one of usage.
func (l *Log) Lowest() (level slog.Level, err error) {
	if l.Level == "" {
		return slog.LevelInfo, nil
	}
	if err := level.UnmarshalText([]byte(l.Level)); err != nil {
		return 0, Usagef("--log-level %q is not debug, info, warn or error", l.Level)
	}
	return level, nil
}

// Logger makes a log of a level of its own, which shows no secrets. The error is one of
// usage.
func (l *Log) Logger(w io.Writer, level slog.Level) (*slog.Logger, error) {
	options := &slog.HandlerOptions{Level: level}
	switch l.Format {
	case "text", "":
		return slog.New(redact.Handler(slog.NewTextHandler(w, options))), nil
	case "json":
		return slog.New(redact.Handler(slog.NewJSONHandler(w, options))), nil
	}
	return nil, Usagef("--log-format %q is neither text nor json", l.Format)
}
