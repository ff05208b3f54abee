#!/usr/bin/env bash
# Fuzzes every fuzz target of the module, one after the other, for FUZZTIME each
# (default 30s). FUZZ is a regular expression that picks targets by name. Corpora
# are in testdata/fuzz/TARGET of each package and run as ordinary tests too; an
# input that fails is added there by the toolchain, to be committed with the fix.
set -euo pipefail
cd "$(dirname "$0")/.."
time=${FUZZTIME:-30s}
pick=${FUZZ:-.}

log=$(mktemp)
trap 'rm -f "$log"' EXIT

# out_of_time: the toolchain can take the end of the time for a failure, where a
# worker is busy at that moment. Then it names no input.
out_of_time() {
	grep -qx ' *context deadline exceeded' "$log" && ! grep -qE 'Failing input|seed corpus entry|hung or terminated' "$log"
}

failed=()
while read -r package dir; do
	grep -qs '^func Fuzz' "$dir"/*_test.go || continue # spares the building of tests
	listed=$(go test -list '^Fuzz' "$package")
	for target in $(grep '^Fuzz' <<<"$listed" | grep -E -- "$pick" || true); do
		echo "=== $target in $package, $time" >&2
		go test -run '^$' -fuzz "^$target\$" -fuzztime "$time" ${FUZZPARALLEL:+-parallel "$FUZZPARALLEL"} "$package" 2>&1 |
			tee "$log" || out_of_time || failed+=("$target in $package")
	done
done < <(go list -f '{{.ImportPath}} {{.Dir}}' ./...)

if [ "${#failed[@]}" -gt 0 ]; then
	printf 'failed: %s\n' "${failed[@]}" >&2
	exit 1
fi
echo "no target failed" >&2
