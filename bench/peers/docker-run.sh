#!/bin/sh
# docker-run.sh IMAGE CODE OUTPUT PROGRAM ARGUMENT
#
# One container by docker run, with the limits that a job of Lynx has by default.
# PROGRAM gets /lynx/work/ARGUMENT; CODE is mounted there, OUTPUT at /lynx/output,
# and with RUN_CONFIG that file.
set -eu
image=$1 code=$2 output=$3 program=$4 argument=$5
if [ -n "${RUN_CONFIG:-}" ]; then
	set -- --mount "type=bind,source=$RUN_CONFIG,target=/lynx/run_config.json,readonly"
else
	set --
fi
exec docker run --rm --network none --read-only --log-driver none \
	--cap-drop ALL --security-opt no-new-privileges --user 61234:61234 \
	--cpus 1 --memory 1g --memory-swap 1g --pids-limit 512 --shm-size 64m \
	--ulimit core=0 --ulimit fsize=2147483648 --ulimit nofile=4096 \
	--tmpfs /tmp:rw,exec,nosuid,nodev,size=256m,mode=1777 --tmpfs /lynx/home:rw,exec,nosuid,nodev,size=64m,mode=1777 \
	--mount "type=bind,source=$code,target=/lynx/work,readonly" \
	--mount "type=bind,source=$output,target=/lynx/output" "$@" \
	--workdir /lynx/work --env HOME=/lynx/home --env TMPDIR=/tmp --env LANG=C.UTF-8 \
	--env PYTHONHASHSEED=0 --env OMP_NUM_THREADS=1 --env OPENBLAS_NUM_THREADS=1 \
	--env PYTHONDONTWRITEBYTECODE=1 --env MPLBACKEND=Agg --env MPLCONFIGDIR=/tmp/matplotlib \
	--env TETRYX_RUN_CONFIG=/lynx/run_config.json --env TETRYX_OUTPUT_DIR=/lynx/output \
	--env HTTPS_PROXY=http://127.0.0.1:9 \
	--entrypoint "$program" "$image" "/lynx/work/$argument"
