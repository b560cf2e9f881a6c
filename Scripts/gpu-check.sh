#!/bin/sh
# Checks and measures the CUDA backend on a machine with a GPU: every operation against the CPU backend, recorded models,
# attention, products, and LLaMA-7B with weights that mean nothing. Builds nothing.
#
#   Scripts/gpu-check.sh [BINARY [GOLDENS]]
#
# BINARY is lightllm, linked statically to Swift's libraries; GOLDENS a folder of recorded models. What was found goes to
# $OUT (by default ./gpu-check): log.txt, and results.jsonl, an object a line. Every section is a process of its own with
# a limit, so that those after one that fails still run; all together end within SECONDS_TOTAL.
here=$(cd "$(dirname "$0")/.." && pwd)
binary=${1:-$here/.build/release/lightllm}
goldens=${2:-$here/Tests/Fixtures/goldens/models}
OUT=${OUT:-$PWD/gpu-check}
total=${SECONDS_TOTAL:-470}
mkdir -p "$OUT"
log=$OUT/log.txt
results=$OUT/results.jsonl
: > "$log"
: > "$results"
start=$(date +%s)
failed=""
# Libraries that lie beside the binary serve where the system lacks them.
if ldd "$binary" | grep -q 'not found'; then
    LD_LIBRARY_PATH=$(dirname "$binary")${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}
    export LD_LIBRARY_PATH
fi

# section NAME LIMIT [COMMAND...]: runs a section, at most LIMIT seconds and no longer than there are left.
section() {
    name=$1
    limit=$2
    shift 2
    left=$((start + total - $(date +%s)))
    [ "$left" -lt "$limit" ] && limit=$left
    if [ "$limit" -lt 5 ]; then
        echo "== $name: no time left" | tee -a "$log"
        failed="$failed $name"
        return
    fi
    begin=$(date +%s)
    echo "== $name, products of $products, at most $limit s" | tee -a "$log"
    timeout -k 5 "$limit" "$@" "$binary" gpu-check --section "$name" --json "$results" --goldens "$goldens" \
        --seconds 60 --products "$products" > "$OUT/section.txt" 2>&1
    status=$?
    cat "$OUT/section.txt" >> "$log"
    # Of many lines those that fail, and the last.
    grep -n 'ok false\|rror' "$OUT/section.txt" | head -40
    tail -n 40 "$OUT/section.txt" | grep -v 'ok true'
    rm -f "$OUT/section.txt"
    echo "== $name: status $status after $(($(date +%s) - begin)) s" | tee -a "$log"
    [ "$status" -eq 0 ] || failed="$failed $name"
}

nvidia-smi >> "$log" 2>&1
ldd --version 2>&1 | head -1 | tee -a "$log"
"$binary" doctor 2>&1 | tee -a "$log"
products=warps
section device 90
section operations 110
section attention 40
section products 50
section blocks 40
section experts 40
# Groups of warps need compute capability 9.0; what is wrong with them shall not spoil what follows.
products=groups
section operations 110
[ "$status" -eq 0 ] && best=groups || best=warps
section products 50
section experts 40
products=library
section products 50
section small 30
products=$best
section goldens 30
section graphs 40
section step 80
section service 100
if command -v compute-sanitizer > /dev/null; then
    section small 60 compute-sanitizer --tool memcheck --error-exitcode 9
fi
echo "== failed:${failed:- none}; $(($(date +%s) - start)) s" | tee -a "$log"
[ -z "$failed" ]
