#!/bin/sh
# Starts lynx-runner in a container. Jobs are containers of the host's engine, which
# looks for everything that it mounts on the host. So what a job needs lies below
# LYNX_DIR, a directory of the host that is mounted here under the same path.
set -eu
: "${LYNX_DIR:?names the directory of the host that is mounted under the same path}"
install -D -m 755 /usr/local/bin/lynx-shim "$LYNX_DIR/bin/lynx-shim"
if [ ! -e "$LYNX_DIR/work" ]; then
	cp -R /usr/local/share/lynx/scenarios/aerospace/python "$LYNX_DIR/work" # the example
fi
mkdir -p "$LYNX_DIR/output"

export LYNX_RUNNER_SHIM="$LYNX_DIR/bin/lynx-shim" LYNX_RUNNER_WORKING_DIRECTORY="$LYNX_DIR/work" \
	LYNX_RUNNER_OUTPUT_ROOT="$LYNX_DIR/output" LYNX_RUNNER_STATE_DIR="$LYNX_DIR/runner" \
	LYNX_RUNNER_RUNTIME_DIR="$LYNX_DIR/run" LYNX_RUNNER_TOKEN_FILE="$LYNX_DIR/platform/token" \
	LYNX_RUNNER_SERVER="unix://$LYNX_DIR/sockets/grpc.sock"
exec lynx-runner "$@"
