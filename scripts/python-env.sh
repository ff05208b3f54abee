#!/bin/sh
# Makes the Python environments below .cache: venv (linting and testing the Python
# code), venv-protoc (generating its protobuf code) and venv-openapi (testing the
# REST interface). Everything is pinned with hashes; what is current is left alone.
set -eu
cd "$(dirname "$0")/.."

environment() { # environment DIRECTORY LOCKFILE
	want=$(sha256sum <"$2" | cut -d ' ' -f 1)
	[ "$(cat "$1/.stamp" 2>/dev/null || true)" != "$want" ] || return 0
	python3 -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || {
		echo "Python 3.11 or later is needed for linting and testing the Python code" >&2
		exit 3
	}
	python3 -c 'import ensurepip, venv' 2>/dev/null ||
		scripts/host-packages.sh 'A Python environment' python3-venv
	echo "making the Python environment $1 (once)" >&2
	python3 -m venv --clear "$1"
	"$1/bin/python" -m pip install --quiet --disable-pip-version-check --require-hashes \
		--only-binary=:all: --requirement "$2"
	echo "$want" >"$1/.stamp"
}
environment .cache/venv sdk/python/dev-requirements.lock
environment .cache/venv-protoc sdk/python/generate-requirements.lock
environment .cache/venv-openapi scripts/openapi-requirements.lock
