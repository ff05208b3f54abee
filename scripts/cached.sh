#!/bin/sh
# cached.sh LINK KEY COMMAND [ARGUMENT...]
#
# Makes LINK a symbolic link to a directory of the user's cache that
# `COMMAND ARGUMENT... DIRECTORY` fills, once: what is dear to make and does not
# depend on the clone, such as the development tools, is shared by all clones of a
# user. KEY is a digest of everything that goes in, so another lock file, toolchain
# or interpreter gets another directory, and what is there never changes. Of several
# at once, one fills it and the others wait. What no clone has asked for in 30 days
# goes. The cache is ${XDG_CACHE_HOME:-~/.cache}/lynx-runner; it can be deleted at
# any time.
set -eu
[ $# -ge 3 ] || { sed -n '2,12s/^# \{0,1\}//p' "$0" >&2; exit 2; }
link=$1 name=$(basename "$1") key=$(printf %.16s "$2")
shift 2
cache=${XDG_CACHE_HOME:-${HOME:?is not set, and XDG_CACHE_HOME neither}/.cache}/lynx-runner
dir=$cache/$name-$key

mkdir -p "$cache" "$(dirname "$link")"
exec 9>"$cache/$name.lock"
flock 9
if [ ! -e "$dir/.complete" ]; then
	rm -rf "$dir"
	"$@" "$dir" 9>&-
	# Sixteen characters: those of `venv` are not those of `venv-protoc`.
	find "$cache" -mindepth 2 -maxdepth 2 -path "$cache/$name-????????????????/.complete" -mtime +30 \
		-exec dirname {} + | xargs -r rm -rf
fi
touch "$dir/.complete" # the time of its last use
if [ "$(readlink "$link" 2>/dev/null || true)" != "$dir" ]; then
	rm -rf "$link" # of an earlier version, which had it in the clone
	ln -s "$dir" "$link"
fi
