#!/bin/sh
# build.sh [TAG]
#
# Builds the image of lynx-server and lynx-runner (lynx:latest). LYNX_BASE names its
# base, any Debian-like image with a shell (debian:bookworm-slim, say); without it
# one is made from Debian packages, which needs no image registry.
set -eu
here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
tag=${1:-lynx:latest}
base=${LYNX_BASE:-}
if [ -z "$base" ]; then
	"$here/../../images/base/build.sh"
	base=lynx-base:bookworm
fi
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
make --no-print-directory -C "$here/../.." build install BIN="$work/bin" DESTDIR="$work/context/root" \
	PREFIX=/usr/local SYSCONFDIR=/etc CGO_ENABLED=0 >"$work/log" 2>&1 || {
	cat "$work/log" >&2
	exit 1
}
cp "$here/Dockerfile" "$here/runner.sh" "$work/context/"
# The engine's own builder sees the engine's images; nothing is fetched.
docker buildx version >/dev/null 2>&1 || export DOCKER_BUILDKIT=0
docker build --quiet --network none --build-arg "BASE=$base" --tag "$tag" "$work/context" >"$work/log" 2>&1 || {
	cat "$work/log" >&2
	exit 1
}
echo "built $tag" >&2
