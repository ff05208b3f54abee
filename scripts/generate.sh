#!/usr/bin/env bash
# Generates all generated code anew. The tools must be on PATH (make generate).
set -euo pipefail
cd "$(dirname "$0")/.."
(cd proto && buf lint && buf generate)
if [ -f internal/platform/store/sqlite/sqlc.yaml ]; then
	(cd internal/platform/store/sqlite && sqlc generate)
fi
sdk/python/generate.sh
