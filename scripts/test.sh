#!/usr/bin/env bash
# Everything that `make test` runs after the linters: the Go tests with the race
# detector, the tests against the real Docker engine and the real Basilisk, the
# Python tests, and then a look at whether anything was left behind.
set -euo pipefail
cd "$(dirname "$0")/.."
python=.cache/venv/bin/python
image=${LYNX_IMAGE:-lynx-basilisk}

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

step() { echo "=== $*" >&2; }
before=$(leftovers | sort)

step "Go tests, with the race detector"
CGO_ENABLED=1 go test -race ./...

step "Simulated schedules of faults, without the race detector"
go test ./tests/simulation

step "Go tests against the Docker engine and Basilisk"
go test -tags engine -count=1 -timeout 40m -p 1 ./executor/... ./tests/... ./bench/...

step "The REST interface against its OpenAPI document"
scripts/openapi-check.sh

step "Python: SDK and scenario"
$python -m pytest -q sdk/python scenarios

step "Scenario against Basilisk's known answers, in the image $image"
scripts/test-scenario.sh "$image"

step "Leftovers"
left=$(comm -13 <(echo "$before") <(leftovers | sort))
if [ -n "$left" ]; then
	printf 'the tests left something behind:\n%s\n' "$left" >&2
	exit 1
fi
echo "all tests passed, and nothing was left behind" >&2
