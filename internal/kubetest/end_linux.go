package kubetest

import (
	"os/exec"
	"syscall"
)

// EndWithTest has a program that is about to start end with the process of the test,
// even where that is killed and no cleanup runs.
func EndWithTest(cmd *exec.Cmd) { cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL} }
