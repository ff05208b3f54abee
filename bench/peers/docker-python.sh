#!/bin/sh
# docker-python.sh IMAGE CODE RUNS CPUS SCRIPT ARGUMENT...
#
# A Python script of this directory in one container, which has the CPUs and the
# memory of as many jobs. CODE is mounted at /lynx/work, RUNS, which it may write to,
# at /lynx/runs.
set -eu
here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
image=$1 code=$2 runs=$3 cpus=$4 script=$5
shift 5
exec docker run --rm --network none --read-only --log-driver none \
	--cap-drop ALL --security-opt no-new-privileges --user 61234:61234 \
	--cpus "$cpus" --memory "${cpus}g" --pids-limit 512 --ulimit nofile=4096 \
	--tmpfs /tmp:rw,exec,nosuid,nodev,size=256m,mode=1777 \
	--mount "type=bind,source=$code,target=/lynx/work,readonly" \
	--mount "type=bind,source=$here,target=/lynx/peers,readonly" \
	--mount "type=bind,source=$runs,target=/lynx/runs" \
	--workdir /lynx/work --env HOME=/tmp --env LANG=C.UTF-8 \
	--env PYTHONHASHSEED=0 --env OMP_NUM_THREADS=1 --env OPENBLAS_NUM_THREADS=1 \
	--env PYTHONDONTWRITEBYTECODE=1 --env MPLBACKEND=Agg --env MPLCONFIGDIR=/tmp/matplotlib \
	--env HTTPS_PROXY=http://127.0.0.1:9 \
	--entrypoint /usr/bin/python3 "$image" "/lynx/peers/$script" "$@"
