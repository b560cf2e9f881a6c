#!/bin/bash
# Two hosts, made of network namespaces that a cable of two virtual interfaces joins: the ranks of one model on both,
# by MPI over TCP, and started by themselves (--nnodes). The model must answer, and when the second host dies the first must notice within five seconds,
# end what runs with an error, say that it is not ready, and end itself with a code that says so.
#
#     Scripts/test-hosts.sh [MODEL]          needs root and `ip netns`; ends with 3 where they cannot be had
set -e
cd "$(dirname "$0")/.."
binary=$PWD/.build/release/lightllm
model=${1:-$(python3 Scripts/fetch-model.py)}
[ -e "$model" ] || { echo "no model: $model" >&2; exit 1; }
id=ranks$$
(ip netns add ${id}a && ip netns add ${id}b) 2>/dev/null || {
    echo "network namespaces cannot be made here"
    ip netns del ${id}a 2>/dev/null
    exit 3
}
work=$(mktemp -d)
port=18391
stop() {
    result=$?
    for host in a b; do
        ip netns pids $id$host 2>/dev/null | xargs -r kill -9 2>/dev/null || true
        ip netns del $id$host 2>/dev/null || true
    done
    [ $result = 0 ] || tail -n 30 "$work"/*.log >&2
    rm -rf "$work"
    exit $result
}
trap stop EXIT
ip link add va$$ netns ${id}a type veth peer name vb$$ netns ${id}b
for host in a b; do
    number=$([ $host = a ] && echo 1 || echo 2)
    ip -n $id$host addr add 10.213.7.$number/24 dev v$host$$
    ip -n $id$host link set v$host$$ up
    ip -n $id$host link set lo up
done
# What mpirun starts on another host: here in the other namespace, under another name.
cat > "$work/agent" <<END
#!/bin/bash
shift
exec ip netns exec ${id}b unshare --uts bash -c 'hostname host-b; exec bash -c "\$*"' agent "\$@"
END
chmod +x "$work/agent"
here() { ip netns exec ${id}a "$@"; }
now() { date +%s%N; }
serving=("$binary" serve --tp 2 --nccl_host 10.213.7.1 --model_dir "$model" --threads 1 --device cpu
    --host 127.0.0.1 --port $port --max_total_token_num 8192 --disable_log_stats)
by_nodes() {
    ip netns exec ${id}b "${serving[@]}" --nnodes 2 --node_rank 1 > "$work/second.log" 2>&1 &
    here "${serving[@]}" --nnodes 2 --node_rank 0 > "$work/$1.log" 2>&1 &
}
by_mpi() {
    here unshare --uts bash -c 'hostname host-a; exec "$@"' begin \
        mpirun --allow-run-as-root --host 10.213.7.1,10.213.7.2 -np 2 --bind-to none \
        --mca plm_rsh_agent "$work/agent" --mca btl tcp,self --mca btl_tcp_if_include 10.213.7.0/24 \
        --mca oob_tcp_if_include 10.213.7.0/24 --mca oob_tcp_keepalive_time 1 \
        --mca oob_tcp_keepalive_intvl 1 --mca oob_tcp_keepalive_probes 2 \
        "${serving[@]}" > "$work/$1.log" 2>&1 &
}
begin() {
    by_$2 "$1"
    server=$!
    for _ in $(seq 300); do
        grep -q "Uvicorn running" "$work/$1.log" && return
        kill -0 $server 2>/dev/null || { echo "the server ended" >&2; return 1; }
        sleep 0.2
    done
    echo "the server did not begin" >&2
    return 1
}
# Ends the second host as $1 says while an answer is being written by ranks that were started as $2 says.
lose() {
    begin "$1" "$2"
    answer=$(here curl -sf -m 30 127.0.0.1:$port/v1/completions \
        -d '{"prompt":"The capital of France is","max_tokens":4,"temperature":0}')
    echo "$answer" | grep -q Paris || { echo "expected Paris, found $answer" >&2; return 1; }
    here curl -sN -m 30 127.0.0.1:$port/v1/completions \
        -d '{"prompt":"Count: 1, 2,","max_tokens":4000,"stream":true,"ignore_eos":true}' > "$work/stream" &
    reader=$!
    sleep 2
    grep -q '"text"' "$work/stream" || { echo "no answer is being written" >&2; return 1; }
    start=$(now)
    case $1 in
    killed) ip netns pids ${id}b | xargs kill -9 ;;
    # Nothing is said any more, and nothing refused either.
    unplugged) ip -n ${id}b link set vb$$ down ;;
    esac
    unready=
    while kill -0 $server 2>/dev/null; do
        # Not ready is whoever says so, and whoever is gone.
        if [ -z "$unready" ]; then
            case $(here curl -s -o /dev/null -m 1 -w '%{http_code}' 127.0.0.1:$port/readiness) in
            503 | 000) unready=$((($(now) - start) / 1000000)) ;;
            esac
        fi
        [ $((($(now) - start) / 1000000000)) -lt 15 ] || { echo "$1: still running" >&2; return 1; }
        sleep 0.05
    done
    ended=$((($(now) - start) / 1000000))
    wait $server && code=0 || code=$?
    wait $reader || true
    [ $code != 0 ] || { echo "$1: ended with 0" >&2; return 1; }
    grep -q "the engine has failed" "$work/stream" || { echo "$1: the answer did not end with an error" >&2; return 1; }
    unready=${unready:-$ended}
    [ $unready -le 5000 ] || { echo "$1: ready for $unready ms" >&2; return 1; }
    echo "$2, $1: not ready after $unready ms, ended with $code after $ended ms"
    ip netns pids ${id}b | xargs -r kill -9 2>/dev/null || true
    ip -n ${id}b link set vb$$ up
}
for way in mpi nodes; do
    lose killed $way
    # And it begins again.
    lose unplugged $way
done
