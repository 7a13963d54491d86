#!/bin/sh
# Installs openirsa on Linux and macOS. `sh install.sh --help` is the manual.
set -eu

usage() {
	cat <<'EOF'
usage: install.sh [--version VERSION] [--dir DIR]

Downloads openirsa for this machine, compares it with the checksums of its release, and
puts it into DIR. Nothing is changed unless all of that went well.

  --version VERSION   such as v0.1.0; otherwise the newest release
  --dir DIR           otherwise /usr/local/bin if you may write there, or ~/.local/bin

It never asks for more rights than you have. For all users of a machine, run it as root.
OPENIRSA_RELEASES is the address of the releases, if yours are on a mirror.
EOF
}

fail() {
	echo "install.sh: $1" >&2
	exit 1
}

# fetch ADDRESS FILE
fetch() {
	if command -v curl >/dev/null 2>&1; then
		curl --fail --silent --show-error --location --output "$2" "$1"
	elif command -v wget >/dev/null 2>&1; then
		wget -q -O "$2" "$1"
	else
		fail "curl or wget is needed: install one of them"
	fi || fail "cannot download $1"
}

# digest FILE
digest() {
	if command -v sha256sum >/dev/null 2>&1; then
		sum=$(sha256sum "$1")
	elif command -v shasum >/dev/null 2>&1; then
		sum=$(shasum -a 256 "$1")
	else
		fail "sha256sum or shasum is needed, to check what was downloaded: install one of them"
	fi
	echo "${sum%% *}"
}

platform() {
	os=$(uname -s)
	arch=$(uname -m)
	case $os in
	Linux) os=linux ;;
	Darwin) os=darwin ;;
	*) fail "there is no build for $os here; for Windows, take the .zip of the release or use scoop" ;;
	esac
	case $arch in
	x86_64 | amd64) arch=amd64 ;;
	aarch64 | arm64) arch=arm64 ;;
	*) fail "there is no build for $arch: build it with CGO_ENABLED=0 go install -tags grpcnotrace github.com/openirsa/openirsa/cmd/openirsa@latest" ;;
	esac
}

# All is in a function, so that half a script does nothing.
main() {
	releases=${OPENIRSA_RELEASES:-https://github.com/openirsa/openirsa/releases}
	version=
	dir=
	while [ $# -gt 0 ]; do
		case $1 in
		-h | --help) usage && exit 0 ;;
		--version=*) version=${1#*=} ;;
		--dir=*) dir=${1#*=} ;;
		--version | --dir)
			[ $# -gt 1 ] || fail "$1 needs a value"
			[ "$1" = --dir ] && dir=$2 || version=$2
			shift
			;;
		*) usage >&2 && fail "unknown argument: $1" ;;
		esac
		shift
	done
	version=${version#v}
	case $version in
	*[!0-9A-Za-z.+-]*) fail "no version: $version" ;;
	esac
	if [ -z "$dir" ]; then
		dir=/usr/local/bin
		[ -w "$dir" ] || dir=$HOME/.local/bin
	fi
	platform

	tmp=$(mktemp -d)
	trap 'rm -rf "$tmp" "$dir/.openirsa.$$"' EXIT
	trap 'exit 1' HUP INT TERM

	if [ -n "$version" ]; then
		fetch "$releases/download/v$version/checksums.txt" "$tmp/checksums.txt"
	else
		fetch "$releases/latest/download/checksums.txt" "$tmp/checksums.txt"
		version=$(sed -n "s/^[0-9a-f]*  openirsa_\(.*\)_${os}_$arch\.tar\.gz\$/\1/p" "$tmp/checksums.txt")
		[ -n "$version" ] || fail "the newest release has nothing for $os/$arch"
	fi
	archive=openirsa_${version}_${os}_$arch.tar.gz
	want=$(sed -n "s/^\([0-9a-f]*\)  $archive\$/\1/p" "$tmp/checksums.txt")
	[ -n "$want" ] || fail "release v$version has no $archive"
	fetch "$releases/download/v$version/$archive" "$tmp/$archive"
	got=$(digest "$tmp/$archive")
	[ "$got" = "$want" ] || fail "$archive has the SHA-256 $got, and its release says $want: nothing was installed"

	tar -xzf "$tmp/$archive" -C "$tmp" openirsa || fail "cannot unpack $archive"
	if ! { mkdir -p "$dir" && cp "$tmp/openirsa" "$dir/.openirsa.$$" && chmod 755 "$dir/.openirsa.$$" &&
		mv -f "$dir/.openirsa.$$" "$dir/openirsa"; }; then
		fail "cannot write to $dir: name another folder with --dir, or run this as root"
	fi
	echo "openirsa v$version is in $dir"
	case :$PATH: in
	*:"$dir":*) ;;
	*) echo "Add it to your PATH: export PATH=\"$dir:\$PATH\"" ;;
	esac
}

main "$@"
