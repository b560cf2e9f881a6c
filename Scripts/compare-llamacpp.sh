#!/usr/bin/env bash
# Compares with llama.cpp on this machine: the two run in turn, several times, so that whatever else the machine
# does meets both, and medians are set against each other.
#
#   Scripts/compare-llamacpp.sh [--service] MODEL.gguf...
#
# --service also compares the servers, 32 requests at a time, with `lightllm bench serve` as the client of both.
# From the environment:
#   LLAMA_CPP_BIN   a folder with llama-bench and llama-server; by default they are built once, for this processor,
#                   and kept in the user's cache directory (15 to 25 minutes on two cores)
#   THREADS         threads of both (one per processor)
#   ROUNDS          measurements of each (5)
#   REQUESTS        requests of a measurement of the servers (64)
#   PORT            where the servers listen (18090)
set -euo pipefail
called_from=$PWD
cd "$(dirname "$0")/.."
threads=${THREADS:-$(nproc)}
rounds=${ROUNDS:-5}
requests=${REQUESTS:-64}
port=${PORT:-18090}
lightllm=.build/release/lightllm
version=0.3.36
sha256=832db0699007f1be95a7e41ef12e88926b02ba836461e36a36372db2760c1a2e

# Builds from the source that the Python package llama-cpp-python carries; goes on where an earlier call stopped.
build_llamacpp() {
    local cache=${XDG_CACHE_HOME:-$HOME/.cache}/lightllm/llama.cpp/$version
    bin=$cache/build/bin
    [ -x "$bin/llama-bench" ] && [ -x "$bin/llama-server" ] && return
    echo "Building llama.cpp from llama-cpp-python $version ..." >&2
    mkdir -p "$cache"
    if [ ! -d "$cache/source" ]; then
        local archive=llama_cpp_python-$version.tar.gz
        python3 -m pip download --quiet --disable-pip-version-check --no-deps --no-binary llama-cpp-python \
            -d "$cache" "llama-cpp-python==$version" >&2
        (cd "$cache" && echo "$sha256  $archive" | sha256sum --check --quiet)
        rm -rf "$cache/partial"
        mkdir "$cache/partial"
        tar -xzf "$cache/$archive" -C "$cache/partial" --strip-components 1
        mv "$cache/partial" "$cache/source"
        rm "$cache/$archive"
    fi
    if ! command -v cmake >/dev/null || ! command -v ninja >/dev/null; then
        python3 -m pip install --quiet --disable-pip-version-check --upgrade --target "$cache/tools" cmake ninja >&2
        export PATH="$cache/tools/bin:$PATH" PYTHONPATH="$cache/tools"
    fi
    cmake -S "$cache/source/vendor/llama.cpp" -B "$cache/build" -G Ninja -DCMAKE_BUILD_TYPE=Release \
        -DGGML_NATIVE=ON -DGGML_OPENMP=ON -DGGML_CCACHE=OFF -DBUILD_SHARED_LIBS=OFF -DLLAMA_OPENSSL=OFF \
        -DLLAMA_BUILD_TESTS=OFF -DLLAMA_BUILD_EXAMPLES=OFF -DLLAMA_BUILD_APP=OFF -DLLAMA_BUILD_UI=OFF \
        -DLLAMA_USE_PREBUILT_UI=OFF >&2
    cmake --build "$cache/build" -t llama-bench llama-server >&2
}

# Results are lines of `SYSTEM METRIC VALUE` in $results; this prints the table of a model, its metrics in order.
table() {
    python3 - "$results" "$1" <<'PYTHON'
import statistics
import sys

values = {}
for line in open(sys.argv[1]):
    system, metric, value = line.split()
    values.setdefault(metric, {}).setdefault(system, []).append(float(value))
print(f"\n{sys.argv[2]}\n{'':26}{'llama.cpp':>34}{'LightLLM':>34}{'ratio':>8}")
for metric, systems in values.items():
    cells, medians = "", []
    for system in ("llama.cpp", "lightllm"):
        found = systems[system]
        medians.append(statistics.median(found))
        cells += f"{medians[-1]:.1f} ({min(found):.1f} ... {max(found):.1f})".rjust(34)
    print(f"{metric.replace('_', ' '):26}{cells}{medians[1] / medians[0]:8.2f}")
PYTHON
}

# extract SYSTEM [METRIC PATH]...: adds what is at each path, such as `0.avg_ts`, of the JSON document it reads.
extract() {
    python3 -c '
import json, sys
document = json.load(sys.stdin)
for metric, path in zip(sys.argv[2::2], sys.argv[3::2]):
    value = document
    for key in path.split("."):
        value = value[int(key) if isinstance(value, list) else key]
    print(sys.argv[1], metric, value)
' "$@" >> "$results"
}

# llama-bench computes 512 tokens, and then generates 128 from an empty context. So ours are two measurements: the
# rate at which answers grow depends on what they attend to, and after a prompt of 512 tokens that is more.
compare_static() {
    "$bin/llama-bench" -m "$1" -t "$threads" -p 512 -n 128 -r 1 -o json 2>/dev/null |
        extract llama.cpp prefill,_tokens/s 0.avg_ts decode,_tokens/s 1.avg_ts
    ours=("$lightllm" bench static --model_dir "$1" --threads "$threads" --repetitions 1 --json)
    "${ours[@]}" --input_len 512 --output_len 0 |
        extract lightllm prefill,_tokens/s prefill_tokens_per_s
    "${ours[@]}" --input_len 1 --output_len 128 |
        extract lightllm decode,_tokens/s decode_tokens_per_s
}

server=
stop_server() {
    [ -n "$server" ] || return 0
    kill "$server" 2>/dev/null || true
    wait "$server" 2>/dev/null || true
    server=
}

# load SYSTEM EXTRA COMMAND...: starts a server, measures it with the same requests as every other, and stops it.
load() {
    local system=$1 extra=$2
    shift 2
    if curl -so /dev/null "http://127.0.0.1:$port/"; then
        echo "port $port is taken; PORT names another" >&2
        exit 1
    fi
    "$@" > "$log" 2>&1 &
    server=$!
    until curl -sf "http://127.0.0.1:$port/health" >/dev/null; do
        kill -0 "$server" 2>/dev/null || { tail "$log" >&2; exit 1; }
        sleep 0.2
    done
    "$lightllm" bench serve --url "http://127.0.0.1:$port" --requests "$requests" --concurrency 32 \
        --extra_body "$extra" --json |
        extract "$system" served,_output_tokens/s output_tokens_per_s \
            served,_all_tokens/s total_tokens_per_s \
            first_token,_p50_ms ttft_ms.p50 first_token,_p99_ms ttft_ms.p99 \
            per_token,_p50_ms tpot_ms.p50 between_chunks,_p99_ms itl_ms.p99
    stop_server
}

compare_service() {
    # 32 slots of 1024 tokens hold the longest prompt with the longest answer.
    load llama.cpp '{"cache_prompt": false}' "$bin/llama-server" -m "$1" --host 127.0.0.1 --port "$port" \
        -t "$threads" -np 32 -c 32768 -fa on
    load lightllm '{}' "$lightllm" serve --model_dir "$1" --host 127.0.0.1 --port "$port" --threads "$threads"
}

with_service=
if [ "${1:-}" = --service ]; then
    with_service=yes
    shift
fi
[ $# -gt 0 ] || { echo "usage: Scripts/compare-llamacpp.sh [--service] MODEL.gguf..." >&2; exit 2; }
# Threads that wait for each other suffer from neighbours in different measure; such ratios say little.
awk '$1 > 0.5 { print "Warning: something else runs on this machine; its load is " $1 "." }' /proc/loadavg >&2
if [ -n "${LLAMA_CPP_BIN:-}" ]; then bin=$LLAMA_CPP_BIN; else build_llamacpp; fi
make build >&2
results=$(mktemp)
log=$(mktemp)
trap 'stop_server; rm -f "$results" "$log"' EXIT
for model in "$@"; do
    case $model in /*) ;; *) model=$called_from/$model ;; esac
    [ -f "$model" ] || { echo "$model: no such file" >&2; exit 1; }
    : > "$results"
    for round in $(seq "$rounds"); do
        echo "$(basename "$model"): round $round of $rounds" >&2
        compare_static "$model"
        [ -z "$with_service" ] || compare_service "$model"
    done
    table "$(basename "$model"), $threads threads, medians of $rounds (min ... max)"
done
