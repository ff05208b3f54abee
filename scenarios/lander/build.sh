#!/bin/sh
# Builds the image lynx-lander from go/. Needs Go and a container engine; no image
# registry.
set -eu
here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
arch=$(docker version --format '{{.Server.Arch}}')
(cd "$here/go" && CGO_ENABLED=0 GOOS=linux GOARCH="$arch" go build -trimpath -o "$work/lander" .)
cp "$here/Dockerfile" "$work/"
docker build --quiet --network none --tag lynx-lander "$work" >/dev/null
docker image inspect --format '{{.Size}}' lynx-lander | awk '{printf "lynx-lander: %.0f MB\n", $1 / 1e6}' >&2
