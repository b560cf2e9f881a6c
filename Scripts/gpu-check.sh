#!/bin/sh
# Checks and measures the CUDA backend on a machine with a GPU. Builds nothing.
#
#   Scripts/gpu-check.sh [bench|checks|both] [BINARY [GOLDENS]]    both by default
#   Scripts/gpu-check.sh plan                                      the sections and their limits; measures nothing
#
# bench: which products are fastest, attention, steps and the service of LLaMA-7B with weights that mean nothing, and the
# same service by others (gpu-peers.py). checks: every operation against the CPU backend, recorded models, graphs.
# BINARY is lightllm, GOLDENS a folder of recorded models; pack-gpu-check.sh makes a folder of all that is needed. What was found goes to
# $OUT (by default ./gpu-check): log.txt, and results.jsonl, an object a line, which ends with what is to be reached and
# whether it was. Every section is a process of its own with a limit, so that those after one that fails still run. The
# limits of a mode add up to less than its total, and both together to less than fifteen minutes; a mode is short enough
# for a machine where no command may run longer than ten.
here=$(cd "$(dirname "$0")/.." && pwd)
bench_total=580
checks_total=270

# Mode, section, products, seconds, in the order in which they are run. `best` are the fastest products that hold; groups
# need compute capability 9.0.
plan() {
    cat <<'END'
bench compile - 45
bench device warps 15
bench small warps 12
bench choice warps 15
bench small groups 12
bench choice groups 15
bench small library 12
bench choice library 20
bench attention best 30
bench step best 45
bench service best 195
bench peers - 110
bench products best 40
bench bars - 5
checks compile - 20
checks device warps 10
checks operations warps 50
checks goldens best 25
checks small library 12
checks operations groups 45
checks graphs best 30
checks blocks best 20
checks experts best 25
checks sanitizer best 25
checks bars - 5
END
}

# What the limits of a mode add up to.
sum() { plan | awk -v mode="$1" '$1 == mode { sum += $4 } END { print sum }'; }

is_short() {
    for mode in bench checks; do
        eval "most=\$${mode}_total"
        echo "$mode: sections of $(sum $mode) s together, at most $most s"
        [ "$(sum $mode)" -le "$most" ] && [ "$most" -lt 600 ] || return 1
    done
    [ $((bench_total + checks_total)) -lt 900 ]
}
is_short > /dev/null || { echo "the limits of the sections add up to too much" >&2; is_short >&2; exit 2; }

mode=both
case ${1:-} in
plan)
    plan
    is_short
    exit ;;
bench | checks | both)
    mode=$1
    shift ;;
esac
# As pack-gpu-check.sh lays them out, or as they are in the tree.
[ -x "$here/lightllm" ] && packed=$here/lightllm || packed=$here/.build/release/lightllm
[ -d "$here/goldens" ] && models=$here/goldens || models=$here/Tests/Fixtures/goldens/models
binary=${1:-$packed}
goldens=${2:-$models}
OUT=${OUT:-$PWD/gpu-check}
mkdir -p "$OUT"
log=$OUT/log.txt
failed=""
best=warps
cut=""
# Libraries that lie beside the binary serve where the system lacks them.
before=${LD_LIBRARY_PATH:-}
if ldd "$binary" | grep -q 'not found'; then
    LD_LIBRARY_PATH=$(dirname "$binary")${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}
    export LD_LIBRARY_PATH
fi

# run NAME LIMIT COMMAND...: runs it at most LIMIT seconds and no longer than there are left, and leaves its status.
run() {
    name=$1
    limit=$2
    shift 2
    left=$((start + total - $(date +%s)))
    [ "$left" -lt "$limit" ] && limit=$left
    if [ "$limit" -lt 4 ]; then
        echo "== $name: no time left" | tee -a "$log"
        status=124
        return
    fi
    begin=$(date +%s)
    echo "== $name, at most $limit s" | tee -a "$log"
    timeout -k 5 "$limit" "$@" > "$OUT/section.txt" 2>&1
    status=$?
    cat "$OUT/section.txt" >> "$log"
    # Of many lines those that fail, and the last.
    grep -n 'ok false\|rror' "$OUT/section.txt" | head -40
    tail -n 40 "$OUT/section.txt" | grep -v 'ok true'
    rm -f "$OUT/section.txt"
    echo "== $name: status $status after $(($(date +%s) - begin)) s" | tee -a "$log"
}

# lightllm SECTION PRODUCTS LIMIT [COMMAND...]: a section of the binary.
lightllm() {
    section=$1
    products=$2
    seconds=$3
    shift 3
    run "$section, products of $products" "$seconds" "$@" "$binary" gpu-check --section "$section" --json "$results" \
        --goldens "$goldens" --seconds 90 --products "$products"
}

# The fastest of the products whose operations hold, of those that were measured.
fastest() {
    grep '"section":"choice"' "$results" \
        | sed -n 's/.*"products":"\([a-z]*\)".*"ms":\([0-9.e+-]*\).*/\2 \1/p' | sort -g | while read -r _ name; do
        case " $cut " in *" $name "*) ;; *) echo "$name" && break ;; esac
    done
}

# section SECTION PRODUCTS LIMIT: one of the plan.
section() {
    products=$2
    [ "$products" = best ] && products=$best
    case "$1 $products" in
    *" groups")
        case $device in
        *sm_90a*) ;;
        *)
            echo "== $1, products of groups: skipped, they need compute capability 9.0" | tee -a "$log"
            return ;;
        esac ;;
    esac
    case $1 in
    compile)
        # Kernels are kept for the sections that follow; one after the other they would take minutes.
        architecture=$(echo "$device" | grep -o 'sm_[0-9a-z]*')
        "$binary" cubins --arch "$architecture" --list | sed "s/^$architecture //" > "$OUT/modules.txt"
        run compile "$3" xargs -a "$OUT/modules.txt" -d '\n' -n 1 -P "$(nproc)" \
            "$binary" cubins --arch "$architecture" --module
        rm -f "$OUT/modules.txt" ;;
    choice)
        # What does not hold is not chosen.
        case " $cut " in *" $products "*) return ;; esac
        lightllm choice "$products" "$3"
        found=$(fastest)
        best=${found:-warps} ;;
    peers)
        python3 -c 'import torch' 2> /dev/null || {
            echo "== peers: skipped, python3 has no PyTorch" | tee -a "$log"
            return
        }
        # With the system's own libraries.
        run peers "$3" env LD_LIBRARY_PATH="$before" python3 "$here/Scripts/gpu-peers.py" --json "$results" --seconds $(($3 - 10)) ;;
    sanitizer)
        command -v compute-sanitizer > /dev/null || {
            echo "== sanitizer: skipped, there is none" | tee -a "$log"
            return
        }
        lightllm small "$products" "$3" compute-sanitizer --tool memcheck --error-exitcode 9 ;;
    bars)
        # With what the other mode found, if it was run before.
        cat "$OUT"/bench.jsonl "$OUT"/checks.jsonl > "$OUT/results.jsonl" 2> /dev/null
        run bars "$3" "$binary" gpu-check --section bars --findings "$OUT/results.jsonl" --json "$OUT/results.jsonl"
        # Of one mode alone much is not measured.
        [ -s "$OUT/bench.jsonl" ] && [ -s "$OUT/checks.jsonl" ] || return ;;
    *) lightllm "$1" "$products" "$3" ;;
    esac
    [ "$status" -eq 0 ] && return
    failed="$failed $1/$products"
    case $1 in small | operations) cut="$cut $products" ;; esac
}

# mode NAME: all of its sections.
mode() {
    eval "total=\$${1}_total"
    results=$OUT/$1.jsonl
    : > "$results"
    start=$(date +%s)
    for line in $(plan | awk -v mode="$1" '$1 == mode { print $2 ":" $3 ":" $4 }'); do
        rest=${line#*:}
        section "${line%%:*}" "${rest%:*}" "${rest#*:}"
    done
    echo "== $1: products of $best; $(($(date +%s) - start)) of $total s" | tee -a "$log"
}

: > "$log"
nvidia-smi >> "$log" 2>&1
ldd --version 2>&1 | head -1 | tee -a "$log"
"$binary" doctor 2>&1 | tee -a "$log"
device=$("$binary" doctor 2>&1 | grep '^device:')
[ "$mode" = both ] || [ "$mode" = bench ] && mode bench
if [ "$mode" = both ] || [ "$mode" = checks ]; then
    # Of a run of the other mode before.
    [ -s "$OUT/bench.jsonl" ] && results=$OUT/bench.jsonl && found=$(fastest) && best=${found:-warps}
    mode checks
fi
echo "== failed:${failed:- none}" | tee -a "$log"
[ -z "$failed" ]
