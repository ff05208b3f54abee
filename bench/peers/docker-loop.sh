#!/bin/sh
# docker-loop.sh IMAGE CODE RUNS PARALLEL
#
# What somebody would write who has Docker and no Lynx: the scenario in one container
# after another, PARALLEL at a time, for each directory below RUNS, which has a
# run_config.json and gets an output/.
set -eu
here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
export here image="$1" code="$2" runs="$3"
# shellcheck disable=SC2016 # expanded by each shell
find "$runs" -mindepth 1 -maxdepth 1 -type d -printf '%f\n' | sort -n |
	xargs -P "$4" -I '{}' sh -c 'RUN_CONFIG="$runs/{}/run_config.json" exec "$here/docker-run.sh" "$image" "$code" "$runs/{}/output" /usr/bin/python3 scenario_basic_orbit_lynx.py >"$runs/{}/stdout.log" 2>"$runs/{}/stderr.log"'
