#!/usr/bin/env bash
# Installs the development tools, at the versions that tools/go.mod pins, into
# the given directory; what is current there already is left alone.
set -euo pipefail
cd "$(dirname "$0")/../tools"
dir=${1:?usage: tools.sh DIRECTORY}
want=$(cat go.mod go.sum | sha256sum | cut -d' ' -f1)
[ "$(cat "$dir/.stamp" 2>/dev/null || true)" = "$want" ] && exit 0

mkdir -p "$dir"
echo "installing the development tools into ${dir#"$PWD/"} (once; a few minutes)" >&2
for tool in $(go list -f '{{.ImportPath}}' tool); do
	GOBIN=$dir CGO_ENABLED=0 go install -trimpath -ldflags='-s -w' "$tool"
done
echo "$want" >"$dir/.stamp"
