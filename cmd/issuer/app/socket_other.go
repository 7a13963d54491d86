//go:build !unix

package app

func makePrivate(uintptr) {}
