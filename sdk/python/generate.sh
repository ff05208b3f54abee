#!/bin/sh
# Generates lynx_sdk/_proto/telemetry_pb2.py (and its type stub) from
# proto/lynx/telemetry/v1. The result is committed; make lint checks it.
set -eu
here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
root=$(CDPATH='' cd -- "$here/../.." && pwd)
"$root/scripts/python-env.sh"
out=$here/src/lynx_sdk/_proto
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
# Only messages: the SDK names its one method itself, so no service code is needed.
# By the full path, since a process has one registry of protobuf file names.
"$root/.cache/venv-protoc/bin/python" -m grpc_tools.protoc --proto_path="$root/proto" \
	--python_out="$work" --pyi_out="$work" lynx/telemetry/v1/telemetry.proto
cp "$work"/lynx/telemetry/v1/telemetry_pb2.py* "$out/"
