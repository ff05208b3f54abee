#!/usr/bin/env bash
# Fails if the committed generated code is not what its sources generate.
set -euo pipefail
cd "$(dirname "$0")/.."
files() { find proto internal sdk -name '*.pb.go' -o -path '*/sqlite/*' -name '*.go' -o -name '*_pb2*.py*' -not -path '*/__pycache__/*'; }
sums() { files | sort | xargs -r sha256sum; }
before=$(sums)
scripts/generate.sh >/dev/null
after=$(sums)
if [ "$before" != "$after" ]; then
	diff <(echo "$before") <(echo "$after") >&2 || true
	echo "generated code was not current; it is now: look at it and commit it" >&2
	exit 1
fi
