#!/bin/sh
# Builds lynx-base:bookworm, a small Debian 12 with Python 3.11, from Debian's own
# packages, for hosts that reach no image registry. Does nothing when the image is
# up to date.
set -eu
here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
image=lynx-base:bookworm

inputs=$(sha256sum <"$here/build.sh" | cut -d ' ' -f 1)
label='{{index .Config.Labels "io.tetryx.lynx.inputs"}}'
[ "$(docker image inspect --format "$label" "$image" 2>/dev/null || true)" != "$inputs" ] || exit 0

command -v mmdebstrap >/dev/null 2>&1 ||
	"$here/../../scripts/host-packages.sh" "Building the base image $image" mmdebstrap

echo "building $image from Debian packages (half a minute)" >&2
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
# essential: dpkg and a shell, no apt. No SOURCE_DATE_EPOCH: it moves the sources'
# timestamps and so invalidates the bytecode that Debian's python3 compiled.
mmdebstrap --quiet --variant=essential --include=python3,libstdc++6 \
	--aptopt='APT::Install-Recommends "false"' \
	--dpkgopt='path-exclude=/usr/share/doc/*' \
	--dpkgopt='path-include=/usr/share/doc/*/copyright' \
	--dpkgopt='path-exclude=/usr/share/man/*' \
	--dpkgopt='path-exclude=/usr/share/locale/*' \
	--dpkgopt='path-exclude=/usr/share/info/*' \
	bookworm "$work/base.tar" 2>"$work/log" || {
	tail -n 20 "$work/log" >&2
	echo "mmdebstrap failed: see above. It needs Debian's package mirror, or another one that APT is set up for." >&2
	exit 1
}
docker import --change "LABEL io.tetryx.lynx.inputs=$inputs" \
	--change 'LABEL org.opencontainers.image.title=lynx-base' \
	--change 'CMD ["/bin/sh"]' "$work/base.tar" "$image" >/dev/null
docker image inspect --format '{{.Size}}' "$image" |
	awk -v image="$image" '{printf "%s: %.0f MB\n", image, $1 / 1e6}' >&2
