#!/bin/sh
# Makes .cache/basilisk-venv, the Python that the process executor runs Basilisk
# scenarios with: the packages of the image lynx-basilisk, at the same versions,
# and the SDK. What is current is left alone.
set -eu
cd "$(dirname "$0")/.."
venv=.cache/basilisk-venv
lock=images/basilisk/requirements.lock
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

want=$({
	echo "$PWD $python"
	sha256sum "$lock" images/basilisk/image/lynx_image.py scripts/basilisk-venv.sh
	find "$sdk" -type f ! -name '*.pyc' | LC_ALL=C sort | xargs sha256sum
} | sha256sum | cut -d ' ' -f 1)
[ "$(cat "$venv/.stamp" 2>/dev/null || true)" != "$want" ] || exit 0

"$python" -c 'import ensurepip, venv' 2>/dev/null ||
	scripts/host-packages.sh 'A Python environment' python3-venv
echo "making the Python environment $venv (once; 140 MB of packages)" >&2
mkdir -p .cache
"$python" -m venv --clear "$venv"
"$venv/bin/python" -m pip install --quiet --disable-pip-version-check --require-hashes \
	--only-binary=:all: --requirement "$lock"
cp -r "$sdk" "$venv"/lib/python3.11/site-packages/
find "$venv/lib/python3.11/site-packages/lynx_sdk" -name __pycache__ -prune -exec rm -rf {} +
# Jobs can't write bytecode; see the image's Dockerfile for what it saves.
"$venv/bin/python" -m compileall -q -j 0 --invalidation-mode unchecked-hash "$venv/lib/python3.11/site-packages" >/dev/null || true
# Matplotlib's list of fonts takes a second to make; a job finds it ready, as in
# the image (see images/basilisk/image/lynx_image.py).
MPLCONFIGDIR="$PWD/$venv/share/matplotlib" MPLBACKEND=Agg "$venv/bin/python" -c 'import matplotlib.font_manager'
cp images/basilisk/image/lynx_image.py "$venv/lib/python3.11/site-packages/"
echo "import lynx_image; lynx_image._prepare('$PWD/$venv/share/matplotlib')" \
	>"$venv/lib/python3.11/site-packages/lynx_image.pth"
chmod -R a+rX "$venv"
echo "$want" >"$venv/.stamp"
