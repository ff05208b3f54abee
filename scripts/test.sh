#!/usr/bin/env bash
# Everything that `make test` runs: linters, the Go tests with the race detector,
# those against the real Docker engine and the real Basilisk, the Python tests, and
# then a look at whether anything was left behind.
set -euo pipefail
cd "$(dirname "$0")/.."

# leftovers lists what tests could leave on this machine.
leftovers() {
	docker ps --all --format 'container {{.Names}}' --filter label=io.tetryx.lynx.attempt
	docker ps --all --format 'container {{.Names}}' --filter label=org.testcontainers=true
	docker volume ls --format 'volume {{.Name}}'
	docker network ls --format 'network {{.Name}}'
	find "${TMPDIR:-/tmp}" -maxdepth 1 \( -name 'lynx*' -o -name 'lx*' \) -printf 'directory %p\n'
	find /run/lynx-runner /run/lock/lynx-runner -mindepth 1 ! -name '*.lock' ! -name 'uid-*' -printf 'file %p\n' 2>/dev/null || true
	find /sys/fs/cgroup -maxdepth 6 -type d -path '*/lynx-runner*' -printf 'cgroup %p\n' 2>/dev/null || true
	ps -eo pid=,comm= | awk '$2 ~ /^lynx/ {print "process " $1 " " $2}'
}

# need PROGRAM PACKAGE: what the tests call is there, or gets installed.
need() {
	command -v "$1" >/dev/null 2>&1 || scripts/host-packages.sh "A test" "$2"
}
need curl curl
need systemd-analyze systemd
docker compose version >/dev/null 2>&1 || need docker-compose docker-compose
command -v cc >/dev/null 2>&1 || scripts/host-packages.sh "The race detector" gcc libc6-dev

before=$(leftovers | sort)

# Two parts at a time, since the engine's tests wait more than they compute; what a
# part prints comes when it ends. The longest goes first.
echo "testing, two parts at a time; each prints what it has to say when it ends" >&2
make --no-print-directory --jobs 2 --output-sync=target \
	test-engine lint test-race test-openapi test-python

left=$(comm -13 <(echo "$before") <(leftovers | sort))
if [ -n "$left" ]; then
	printf 'the tests left something behind:\n%s\n' "$left" >&2
	exit 1
fi
echo "all tests passed, and nothing was left behind" >&2
