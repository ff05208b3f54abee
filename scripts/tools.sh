#!/usr/bin/env bash
# tools.sh LINK: makes LINK a directory of the development tools, at the versions
# that tools/go.mod pins (scripts/cached.sh).
set -euo pipefail
cd "$(dirname "$0")/.."

if [ "${1:?usage: tools.sh LINK}" != --into ]; then
	key=$({ cat tools/go.mod tools/go.sum; go version; } | sha256sum)
	exec scripts/cached.sh "$1" "$key" scripts/tools.sh --into
fi
echo "installing the development tools (once; a few minutes)" >&2
cd tools
mapfile -t tools < <(go list -f '{{.ImportPath}}' tool)
GOBIN=$2 CGO_ENABLED=0 go install -trimpath -ldflags='-s -w' "${tools[@]}"
