#!/bin/sh
# Starts the server with `make run` and asks it what the README asks.
set -e
cd "$(dirname "$0")/.."
port=${PORT:-18080}
log=$(mktemp)
make run PORT="$port" > "$log" 2>&1 &
server=$!
# Whatever ends the server says is not this script's result: under `set -e` a trap that fails would be.
stop() {
    result=$?
    pkill -P $server 2>/dev/null || true
    kill $server 2>/dev/null || true
    wait $server 2>/dev/null || true
    rm -f "$log"
    exit $result
}
trap stop EXIT
for _ in $(seq 600); do
    grep -q "Uvicorn running" "$log" && break
    kill -0 $server 2>/dev/null || { cat "$log" >&2; exit 1; }
    sleep 0.5
done
url=http://127.0.0.1:$port
expect() { echo "$2" | grep -q "$1" || { echo "expected $1, found: $2" >&2; exit 1; }; }
expect '"generated_text":\["' "$(curl -sf $url/generate -X POST -H 'Content-Type: application/json' \
    -d '{"inputs":"What is AI?","parameters":{"max_new_tokens":17, "frequency_penalty":1}}')"
expect 'finish_reason":"length"' "$(curl -sfN $url/generate_stream -d '{"inputs":"What is AI?","parameters":{"max_new_tokens":5}}')"
expect '"role":"assistant"' "$(curl -sf $url/v1/chat/completions \
    -d '{"messages":[{"role":"user","content":"Hi"}],"max_tokens":8,"temperature":0}')"
expect 'data: \[DONE\]' "$(curl -sfN $url/v1/completions -d '{"prompt":"One, two,","max_tokens":8,"stream":true}')"
slots=$(curl -sf $url/metrics | awk '/^lightllm_kv_slots / {a=$2} /^lightllm_kv_slots_free / {b=$2} END {print a - b}')
[ "$slots" = 0 ] || { echo "$slots slots were not given back" >&2; exit 1; }
echo "smoke test passed"
