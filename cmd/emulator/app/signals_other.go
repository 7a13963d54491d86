//go:build !unix

package app

func ignoreFileLimit() {}
