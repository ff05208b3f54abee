#!/usr/bin/env bash
# Fails if the committed generated code is not what its sources generate. The code
# is generated in a copy, so nothing here changes while others read it.
set -euo pipefail
cd "$(dirname "$0")/.."
copy=$(mktemp -d)
trap 'rm -rf "$copy"' EXIT
dirs=(proto sdk/python/src internal/platform/store/sqlite)
cp -r --parents "${dirs[@]}" sdk/python/{generate.sh,*.lock} scripts "$copy"
ln -s "$PWD/.cache" "$copy/.cache"
cd "$copy"
# What has no source any more must not pass as current.
grep -rlE --include='*.go' '^// Code generated .* DO NOT EDIT' "${dirs[@]}" | xargs -r rm
find "${dirs[@]}" -name '*_pb2.py*' -delete
scripts/generate.sh >/dev/null
cd "$OLDPWD"
for dir in "${dirs[@]}"; do
	diff -rq --exclude=__pycache__ --exclude='*.egg-info' "$dir" "$copy/$dir" >&2 || {
		echo "generated code is not current: run 'make generate', look at it and commit it" >&2
		exit 1
	}
done
