#!/bin/sh
# test-scenario.sh [IMAGE]
#
# Holds the scenario, run by real Basilisk inside the image, against known answers.
# Also a test of the image: no network, a read-only root, no user of its own.
set -eu
root=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd)
exec docker run --rm --network none --read-only --cap-drop ALL --security-opt no-new-privileges \
	--user 65532:65532 --tmpfs /tmp --env PYTHONDONTWRITEBYTECODE=1 \
	--mount "type=bind,source=$root/scenarios/aerospace/python,target=/lynx/work,readonly" \
	--entrypoint /usr/bin/python3 "${1:-lynx-basilisk}" -m unittest tests/known_answers.py
