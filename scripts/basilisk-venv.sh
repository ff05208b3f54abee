#!/bin/sh
# Makes .cache/basilisk-venv, the Python that the process executor runs Basilisk
# scenarios with: the packages of the image lynx-basilisk, at the same versions,
# and the SDK. What is current is left alone. The packages come from the user's
# cache (scripts/cached.sh), as a copy: jobs run as users of their own, who may
# enter no home directory.
set -eu
cd "$(dirname "$0")/.."
lock=images/basilisk/requirements.lock
packages=lib/python3.11/site-packages

if [ "${1:-}" = --into ]; then # --into PYTHON DIRECTORY: the packages, for every clone
	python=$2 into=$3
	"$python" -c 'import ensurepip, venv' 2>/dev/null ||
		scripts/host-packages.sh 'A Python environment' python3-venv
	echo "installing Basilisk's Python packages (once; 140 MB)" >&2
	"$python" -m venv "$into"
	"$into/bin/python" -m pip install --quiet --disable-pip-version-check --require-hashes \
		--only-binary=:all: --requirement "$lock"
	# Jobs can't write bytecode; see the image's Dockerfile for what it saves.
	"$into/bin/python" -m compileall -q -j 0 --invalidation-mode unchecked-hash "$into/$packages" >/dev/null || true
	# Matplotlib's list of fonts takes a second to make; a job finds it ready, as in
	# the image (see images/basilisk/image/lynx_image.py).
	MPLCONFIGDIR="$into/share/matplotlib" MPLBACKEND=Agg "$into/bin/python" -c 'import matplotlib.font_manager'
	exit
fi

venv=.cache/basilisk-venv
sdk=sdk/python/src/lynx_sdk

# The interpreter must be one that a job's own user can execute: the system's,
# rather than one below somebody's home directory.
usable() { "$1" -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' 2>/dev/null; }
for python in ${LYNX_PYTHON:-/usr/bin/python3 /usr/bin/python3.11 /usr/local/bin/python3.11 python3.11 python3}; do
	if usable "$python"; then break; fi
	python=
done
[ -n "${python:-}" ] || {
	echo "Basilisk's pinned packages need Python 3.11, and there is none on this host. Install it and run this again (LYNX_PYTHON=/path/to/python3.11 names it), or use the Docker executor, whose image brings its own." >&2
	exit 3
}

shared=$({
	"$python" -c 'import sys; print(sys.executable, sys.version)'
	sha256sum "$lock" scripts/basilisk-venv.sh
} | sha256sum | cut -d ' ' -f 1)
want=$({
	echo "$PWD $shared"
	sha256sum images/basilisk/image/lynx_image.py
	find "$sdk" -type f ! -name '*.pyc' | LC_ALL=C sort | xargs sha256sum
} | sha256sum | cut -d ' ' -f 1)
[ "$(cat "$venv/.stamp" 2>/dev/null || true)" != "$want" ] || exit 0

scripts/cached.sh .cache/basilisk-packages "$shared" scripts/basilisk-venv.sh --into "$python"
echo "making the Python environment $venv" >&2
"$python" -m venv --clear --without-pip "$venv"
cp -a --reflink=auto .cache/basilisk-packages/share .cache/basilisk-packages/lib "$venv/"
cp -r "$sdk" images/basilisk/image/lynx_image.py "$venv/$packages/"
find "$venv/$packages/lynx_sdk" -name __pycache__ -prune -exec rm -rf {} +
"$venv/bin/python" -m compileall -q --invalidation-mode unchecked-hash \
	"$venv/$packages/lynx_sdk" "$venv/$packages/lynx_image.py" >/dev/null
echo "import lynx_image; lynx_image._prepare('$PWD/$venv/share/matplotlib')" >"$venv/$packages/lynx_image.pth"
chmod -R a+rX "$venv"
echo "$want" >"$venv/.stamp"
