package app

import "golang.org/x/sys/windows"

// escapes has a console act on colours, which those of Windows do only if they are
// asked to. It reports whether this one does.
func escapes(fd uintptr) bool {
	var mode uint32
	console := windows.Handle(fd)
	if windows.GetConsoleMode(console, &mode) != nil {
		return false
	}
	const act = windows.ENABLE_VIRTUAL_TERMINAL_PROCESSING
	return mode&act != 0 || windows.SetConsoleMode(console, mode|act) == nil
}
