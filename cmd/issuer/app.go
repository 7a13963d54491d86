package main

import (
	"io"
	"log/slog"

	"github.com/openirsa/openirsa/internal/cli"
	"github.com/openirsa/openirsa/internal/redact"
)

// app is one run of the program.
type app struct {
	getenv         func(string) string
	stdout, stderr io.Writer

	logFormat, logLevel string
	log                 *slog.Logger
}

// environment is a variable that is set and not empty.
func (a *app) environment(name string) (string, bool) {
	value := a.getenv(name)
	return value, value != ""
}

func (a *app) openLog() error {
	options := &slog.HandlerOptions{}
	var level slog.Level
	if err := level.UnmarshalText([]byte(a.logLevel)); err != nil {
		return cli.Usagef("--log-level %q is not debug, info, warn or error", a.logLevel)
	}
	options.Level = level
	switch a.logFormat {
	case "text":
		a.log = slog.New(redact.Handler(slog.NewTextHandler(a.stderr, options)))
	case "json":
		a.log = slog.New(redact.Handler(slog.NewJSONHandler(a.stderr, options)))
	default:
		return cli.Usagef("--log-format %q is neither text nor json", a.logFormat)
	}
	return nil
}
