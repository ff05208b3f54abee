#!/bin/sh
# Builds lynx-basilisk:latest (and :<Basilisk version>). Takes the public Python
# image as its base where a registry answers within a few seconds, and one made
# from Debian packages (images/base) where none does; LYNX_IMAGE_BASE=public or
# =debian decides otherwise. Does nothing when the image is up to date.
set -eu
here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
root=$(CDPATH='' cd -- "$here/../.." && pwd)
image=lynx-basilisk
public=python:3.11.14-slim-bookworm@sha256:65a93d69fa75478d554f4ad27c85c1e69fa184956261b4301ebaf6dbb0a3543d
answer_seconds=5
cache=$root/.cache/images
sdk=$root/sdk/python/src/lynx_sdk
version=$(sed -n 's/^bsk==\([^ ]*\).*/\1/p' "$here/requirements.lock")

say() { echo "$*" >&2; }

# inputs: one digest over the names and contents of all that goes in. The base is
# not among them: a registry that comes and goes must not cause rebuilds.
inputs() {
	cd "$root"
	find images/base/build.sh images/basilisk/Dockerfile images/basilisk/build.sh \
		images/basilisk/requirements.lock images/basilisk/image sdk/python/src/lynx_sdk \
		-type f ! -name '*.pyc' | LC_ALL=C sort | xargs sha256sum | sha256sum | cut -d ' ' -f 1
}
inputs=$(inputs)
label='{{index .Config.Labels "io.tetryx.lynx.inputs"}}'
for tag in latest "$version"; do
	[ "$(docker image inspect --format "$label" "$image:$tag" 2>/dev/null || true)" = "$inputs" ] || uptodate=no
done
[ "${uptodate:-yes}" = no ] || exit 0

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

# pull_public: true if the public base is here. A pull that was answered may take
# its time; one that was not is given up.
pull_public() {
	docker image inspect "$public" >/dev/null 2>&1 && return 0
	: >"$work/pull.log"
	docker pull "$public" >"$work/pull.log" 2>&1 &
	pull=$!
	tries=$((answer_seconds * 5))
	while kill -0 "$pull" 2>/dev/null && [ "$tries" -gt 0 ] && ! grep -q 'Pulling from' "$work/pull.log"; do
		sleep 0.2
		tries=$((tries - 1))
	done
	if [ "$tries" -eq 0 ]; then kill "$pull" 2>/dev/null || true; fi
	wait "$pull"
}

case ${LYNX_IMAGE_BASE:-auto} in
public) pull_public || {
	cat "$work/pull.log" >&2
	exit 1
} && base=$public ;;
debian) base=lynx-base:bookworm ;;
auto) if pull_public; then base=$public; else base=lynx-base:bookworm; fi ;;
*)
	say "LYNX_IMAGE_BASE is '$LYNX_IMAGE_BASE'; it can be public, debian or auto"
	exit 2
	;;
esac
if [ "$base" = lynx-base:bookworm ]; then
	say "no image registry is used: the base is made from Debian packages"
	"$root/images/base/build.sh"
fi

# Wheels for the image's Python 3.11, whatever Python this host runs, are fetched
# here, where the package index is set up, and checked against the lock file; the
# build itself then needs no network.
lock=$(sha256sum <"$here/requirements.lock" | cut -c 1-16)
wheels=$cache/wheels-$lock
if [ ! -e "$wheels/.complete" ]; then
	python3 -m pip --version >/dev/null 2>&1 ||
		"$root/scripts/host-packages.sh" 'Downloading the Python packages of the image' python3-pip
	say "downloading the Python packages of the image (140 MB, once)"
	rm -rf "$cache"/wheels-*
	mkdir -p "$wheels"
	case $(docker version --format '{{.Server.Arch}}') in
	amd64) machine=x86_64 ;;
	arm64) machine=aarch64 ;;
	*)
		say "there is no Basilisk for the engine's processor; it can be amd64 or arm64"
		exit 3
		;;
	esac
	platforms=
	for tag in manylinux_2_28 manylinux_2_27 manylinux_2_26 manylinux_2_24 manylinux_2_17 manylinux2014 \
		manylinux_2_12 manylinux2010 manylinux_2_5 manylinux1; do
		platforms="$platforms --platform ${tag}_$machine"
	done
	# shellcheck disable=SC2086 # a list of options
	python3 -m pip download --quiet --disable-pip-version-check --require-hashes \
		--requirement "$here/requirements.lock" --dest "$wheels" --only-binary=:all: \
		--python-version 3.11 --implementation cp --abi cp311 --abi abi3 --abi none $platforms
	touch "$wheels/.complete"
fi

mkdir "$work/context"
cp -r "$here/Dockerfile" "$here/requirements.lock" "$here/image" "$sdk" "$work/context/"
find "$work/context" -name __pycache__ -prune -exec rm -rf {} +
mkdir "$work/context/wheels"
cp "$wheels"/*.whl "$work/context/wheels/"

# Any docker client will do. Without the buildx plugin the engine's own builder is
# asked for; with it, the builder must be the one that sees the engine's images,
# and must not wrap the image in an index of attestations.
if docker buildx version >/dev/null 2>&1; then
	BUILDX_BUILDER=${DOCKER_CONTEXT:-$(docker context show 2>/dev/null || echo default)}
	BUILDX_NO_DEFAULT_ATTESTATIONS=1
	export BUILDX_BUILDER BUILDX_NO_DEFAULT_ATTESTATIONS
else
	export DOCKER_BUILDKIT=0
fi
say "building $image:$version on $base (about a minute)"
# Without a network: all that is needed is in the context.
docker build --network none --tag "$image:$version" --tag "$image:latest" \
	--build-arg "BASE=$base" --build-arg "VERSION=$version" --build-arg "INPUTS=$inputs" --build-arg "LOCK=$lock" \
	"$work/context" >"$work/build.log" 2>&1 || {
	tail -n 40 "$work/build.log" >&2
	say "docker build failed: see above"
	exit 1
}
# What this build replaced. The engine's own builder keeps the stage that installs
# the wheels as an image without a name: wanted as long as the lock file is the same.
docker image prune --force --filter label=org.opencontainers.image.title=lynx-basilisk >/dev/null
docker image prune --force --filter label=io.tetryx.lynx.stage --filter "label!=io.tetryx.lynx.stage=$lock" >/dev/null
docker image inspect --format '{{.Size}}' "$image:latest" |
	awk -v image="$image:$version" '{printf "%s: %.0f MB\n", image, $1 / 1e6}' >&2
