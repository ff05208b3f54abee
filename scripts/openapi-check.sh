#!/usr/bin/env bash
# Holds the platform's OpenAPI document to OpenAPI 3.1, and a running platform with
# a batch in it to its document: every call is made with many inputs, valid and
# not, known ids and unknown ones. A server error or an answer that is not as
# documented fails. SECONDS_EACH bounds each of the two rounds.
set -euo pipefail
cd "$(dirname "$0")/.."
scripts/python-env.sh
bin=$PWD/.cache/venv-openapi/bin
dir=$(mktemp -d)
server=
cleanup() {
	if [ -n "$server" ]; then
		kill "$server" 2>/dev/null || true
		wait "$server" || true
	fi
	rm -rf "$dir"
}
trap cleanup EXIT

go build -o "$dir/" ./cmd/lynx-server ./tests/openapi/seed
"$dir/lynx-server" --listen 127.0.0.1:0 --grpc-listen 127.0.0.1:0 --data "$dir/data" 2>"$dir/server.log" &
server=$!
address() { # address KEY: of the line that says that the platform is up
	"$bin/python" - "$dir/server.log" "$1" <<-'PYTHON'
		import json, sys
		for line in open(sys.argv[1]):
		    entry = json.loads(line) if line.startswith("{") else {}
		    if sys.argv[2] in entry and "token_file" in entry:
		        print(entry[sys.argv[2]])
	PYTHON
}
for _ in $(seq 100); do
	rest=$(address rest)
	[ -z "$rest" ] || break
	kill -0 "$server" || { cat "$dir/server.log" >&2; exit 1; }
	sleep 0.1
done
grpc=$(address grpc)
token=$(cat "$dir/data/token")

"$dir/seed" "$rest" "$grpc" "$dir/data/token" >"$dir/ids"
cat "$dir/ids" >&2
batch_id='' completed='' kept=''
# shellcheck source=/dev/null
. "$dir/ids"

call() { curl --silent --show-error --header "Authorization: Bearer $token" "$@"; }
call --fail "http://$rest/openapi.json" >"$dir/openapi.json"
"$bin/openapi-spec-validator" --schema 3.1 "$dir/openapi.json" >&2

answer() { # answer PATH TEXT: the answer has the text
	local got
	got=$(call --fail "http://$rest$1")
	[[ $got == *"$2"* ]] || { echo "$1: $got" >&2; exit 1; }
}
[ "$kept" = true ] || { echo "the platform keeps no files" >&2; exit 1; }
answer "/jobs/$completed/logs/stdout" 'a line'
answer "/jobs/$completed/artifacts/x.csv?attempt=1" '0,1'
answer "/jobs/$completed/results" "\"url\":\"/jobs/$completed/artifacts/x.csv?attempt=1\""
answer "/jobs/$completed/telemetry?variables=h" '"values":[1,2,3]'

# What is known to be there: ids of the first round, and a long poll that is short.
cat >"$dir/known.toml" <<EOT
[parameters]
"path.batch_id" = "$batch_id"
"path.job_id" = "$completed"
"path.runner_id" = "runner-a"
"path.name" = "x.csv"
"query.wait" = 1
"query.revision" = "0"
"query.follow" = false
EOT
round() { # round CONFIG OPTION...: in a directory of its own, where it leaves things
	(cd "$dir" && "$bin/schemathesis" --config-file "$1" run "$dir/openapi.json" --url "http://$rest" \
		--header "Authorization: Bearer $token" --no-color --warnings off --seed 1 --workers 1 \
		--max-time "${SECONDS_EACH:-20}" --request-timeout 10 --generation-database none \
		--phases examples,coverage,fuzzing \
		--checks not_a_server_error,status_code_conformance,content_type_conformance,response_headers_conformance,response_schema_conformance,unsupported_method,ignored_auth \
		"${@:2}") >&2
}
# It submits batches, and may then ask for news of them for longer than a request may
# take here.
printf '[parameters]\n"query.wait" = 1\n"query.follow" = false\n' >"$dir/unknown.toml"
# An endless stream is no call for a test that waits for its end: those with known
# ids are looked at below.
round "$dir/known.toml" --exclude-path-regex '/(events|live)$'
round "$dir/unknown.toml" --exclude-path-regex '/(events|live)$'

unknown() { # unknown PATH: is answered with 404
	local got
	got=$(call --output /dev/null --write-out '%{http_code}' "http://$rest$1")
	[ "$got" = 404 ] || { echo "$1: $got" >&2; exit 1; }
}
unknown /batches/none/events
unknown /jobs/none/telemetry/live

stream() { # stream PATH: is answered with events
	local got
	got=$(call --max-time 2 --output /dev/null --write-out '%{http_code} %{content_type}' "http://$rest$1" 2>/dev/null || true)
	[ "$got" = "200 text/event-stream" ] || { echo "$1: $got" >&2; exit 1; }
}
stream /events
stream "/events?batch_id=$batch_id"
stream "/batches/$batch_id/events"
stream "/jobs/$completed/telemetry/live"
kill -0 "$server" || { echo "the platform has ended" >&2; exit 1; }
if grep -E 'panic|"level":"ERROR"' "$dir/server.log" >&2; then
	echo "the platform logged errors" >&2
	exit 1
fi
echo "the platform is as its OpenAPI document says" >&2
