package doctor

import (
	"strings"

	"github.com/openirsa/openirsa/internal/shell"
)

// Fix is what to do about a finding. The zero value says that nothing can be
// done there.
type Fix struct {
	// Commands in the order in which they are run.
	Commands []Command
	// Elsewhere replaces them in clusters in which they cannot be run.
	Elsewhere *Command
	// Note says in words where to run the commands, or what else to do.
	Note string
}

// Command is one command line, of setup or of another program.
type Command struct {
	// Verb of setup, such as "up" or "apiserver print"; empty for another
	// program.
	Verb string
	// Args of the verb. Without a verb the program comes first.
	Args []string
	// Root says that the command has to run as root.
	Root bool
	// Stdin and Stdout are files for the command; empty for those of the caller.
	Stdin, Stdout string
}

// setup is a verb of setup.
func setup(verb string, args ...string) Fix {
	return Fix{Commands: []Command{{Verb: verb, Args: args}}}
}

// run is a command of another program.
func run(argv ...string) Fix {
	return Fix{Commands: []Command{{Args: argv}}}
}

// kubectl is a command in a namespace.
func kubectl(namespace string, args ...string) Fix {
	return run(append([]string{"kubectl", "--namespace", namespace}, args...)...)
}

// noting adds to what is to be known about a fix.
func (f Fix) noting(note string) Fix {
	if f.Note != "" {
		note = f.Note + ", " + note
	}
	f.Note = note
	return f
}

// Shell writes a fix as a line for a POSIX shell, with the name by which setup is
// run. Several verbs of setup are written as a sentence, since each of them is to
// be looked at before the next.
func (f Fix) Shell(setup string) string {
	var line strings.Builder
	for i, c := range f.Commands {
		switch {
		case i > 0 && c.Verb != "":
			line.WriteString(", then ")
		case i > 0:
			line.WriteString(" && ")
		}
		line.WriteString(c.shell(setup))
	}
	note := f.Note
	if f.Elsewhere != nil {
		note += "; " + f.Elsewhere.shell(setup) + " for other clusters"
	}
	if note != "" {
		line.WriteString("   # " + note)
	}
	return line.String()
}

func (c Command) shell(setup string) string {
	var words []string
	if c.Root {
		words = append(words, "sudo")
	}
	if c.Verb != "" {
		words = append(words, setup, c.Verb)
	}
	for _, arg := range c.Args {
		words = append(words, shell.Quote(arg))
	}
	if c.Stdin != "" {
		words = append(words, "<"+shell.Quote(c.Stdin))
	}
	if c.Stdout != "" {
		words = append(words, ">"+shell.Quote(c.Stdout))
	}
	return strings.Join(words, " ")
}
