package app

import (
	"log/slog"

	"github.com/openirsa/openirsa/internal/cli"
)

// app is one run of the program.
type app struct {
	in *cli.Invocation

	logs cli.Log
	log  *slog.Logger
}

// environment is a variable that is set and not empty.
func (a *app) environment(name string) (string, bool) {
	value := a.in.Getenv(name)
	return value, value != ""
}
