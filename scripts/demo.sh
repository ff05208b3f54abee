#!/usr/bin/env bash
# The tutorial: a study of real Basilisk runs, each in its own container, and one
# picture that overlays the orbits. Called by `make demo`.
set -euo pipefail
cd "$(dirname "$0")/.."
study=${1:?usage: demo.sh STUDY RUNS OUTPUT} runs=${2:?} output=${3:?}

"${BIN:-bin}/lynxctl" run "$study" --runs "$runs" --executor docker --output "$output"

batch=$(readlink -f "$output/latest")
docker run --rm --network none --read-only --cap-drop ALL --security-opt no-new-privileges \
	--user "$(stat -c %u:%g "$batch")" --tmpfs /tmp \
	--mount "type=bind,source=$PWD/scenarios/aerospace/python,target=/scripts,readonly" \
	--mount "type=bind,source=$batch,target=/batch" \
	--env MPLBACKEND=Agg --entrypoint python3 \
	lynx-basilisk /scripts/overlay_orbits.py /batch --output /batch/orbits.png >/dev/null
echo "All orbits in one picture: ${batch#"$PWD/"}/orbits.png"
