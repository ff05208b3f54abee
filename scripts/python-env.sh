#!/bin/sh
# Makes the Python environments below .cache: venv (linting and testing the Python
# code), venv-protoc (generating its protobuf code) and venv-openapi (testing the
# REST interface). Everything is pinned with hashes (scripts/cached.sh).
set -eu
cd "$(dirname "$0")/.."

if [ "${1:-}" = --into ]; then # --into LOCKFILE DIRECTORY
	python3 -c 'import ensurepip, venv' 2>/dev/null ||
		scripts/host-packages.sh 'A Python environment' python3-venv
	echo "making a Python environment from $2 (once)" >&2
	python3 -m venv "$3"
	"$3/bin/python" -m pip install --quiet --disable-pip-version-check --require-hashes \
		--only-binary=:all: --requirement "$2"
	exit
fi

interpreter=$(python3 -c 'import sys; print(sys.executable, sys.version, sys.version_info >= (3, 11))' 2>/dev/null || true)
case $interpreter in
*True) ;;
*)
	echo "Python 3.11 or later is needed for linting and testing the Python code" >&2
	exit 3
	;;
esac
environment() { # environment LINK LOCKFILE
	key=$({ echo "$interpreter" && cat "$2"; } | sha256sum)
	scripts/cached.sh "$1" "$key" scripts/python-env.sh --into "$2"
}
environment .cache/venv sdk/python/dev-requirements.lock
environment .cache/venv-protoc sdk/python/generate-requirements.lock
environment .cache/venv-openapi scripts/openapi-requirements.lock
