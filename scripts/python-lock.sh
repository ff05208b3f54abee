#!/bin/sh
# Writes the Python lock files anew from their .in files: every package pinned,
# with the hashes of all its wheels. Run it after changing an .in file; both are
# committed. Needs uv (pip install uv).
set -eu
cd "$(dirname "$0")/.."
lock() { # lock DIRECTORY/NAME OPTION...
	in=$1
	shift
	uv pip compile --quiet --no-header --upgrade --generate-hashes --only-binary :all: \
		--output-file "$in.lock" "$@" "$in.in"
}
lock images/basilisk/requirements --python-version 3.11 --python-platform x86_64-manylinux_2_28
lock sdk/python/dev-requirements --python-version 3.11 --universal
lock sdk/python/generate-requirements --python-version 3.11 --universal
lock scripts/openapi-requirements --python-version 3.11 --universal
