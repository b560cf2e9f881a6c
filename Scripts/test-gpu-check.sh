#!/bin/sh
# What gpu-check.sh runs, chooses and reports, with a stand-in for lightllm that only notes what it was asked for.
set -e
here=$(cd "$(dirname "$0")/.." && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cat > "$work/lightllm" <<'END'
#!/bin/sh
# FAILS names the section and products that fail, FASTEST the products that are fastest, SLOW a section that hangs.
case $1 in
doctor) echo "device: a stand-in, $ARCHITECTURE, 1 multiprocessors" && exit ;;
cubins)
    case "$*" in *--list*) printf '%s rows.cu\n%s gemm.cu EXPERTS=1\n' "$ARCHITECTURE" "$ARCHITECTURE" ;; esac
    echo "cubins $*" >> "$NOTES"
    exit ;;
esac
while [ $# -gt 0 ]; do
    case $1 in --section) section=$2 ;; --products) products=$2 ;; --json) json=$2 ;; esac
    shift
done
echo "$section $products" >> "$NOTES"
[ "$section" = "$SLOW" ] && sleep 60
milliseconds=20.5
[ "$products" = "$FASTEST" ] && milliseconds=9.25
[ "$section" = choice ] && echo "{\"section\":\"choice\",\"name\":\"a\",\"products\":\"$products\",\"ms\":$milliseconds,\"x\":1}" >> "$json"
[ "$section $products" != "$FAILS" ]
END
# Nobody here has a peer, or NVIDIA's tools.
mkdir "$work/bin"
printf '#!/bin/sh\nexit 1\n' > "$work/bin/python3"
chmod +x "$work/lightllm" "$work/bin/python3"
export NOTES="$work/notes" OUT="$work/out" PATH="$work/bin:$PATH" ARCHITECTURE FAILS FASTEST SLOW

# check WHAT EXPECTED-STATUS ARGUMENTS...
check() {
    what=$1
    expected=$2
    shift 2
    rm -rf "$NOTES" "$OUT"
    status=0
    "$here/Scripts/gpu-check.sh" "$@" "$work/lightllm" > "$work/text" 2>&1 || status=$?
    [ "$status" = "$expected" ] || { cat "$work/text"; echo "$what: status $status, expected $expected" >&2; exit 1; }
}
# expect FILE TEXT: has a line that is TEXT.
expect() { grep -qxF -e "$2" "$1" || { cat "$1"; echo "no line: $2" >&2; exit 1; }; }
refuse() { ! grep -qxF -e "$2" "$1" || { cat "$1"; echo "a line: $2" >&2; exit 1; }; }

ARCHITECTURE=sm_90a FASTEST=groups
check "all is well" 0 both
for line in "service groups" "step groups" "goldens groups" "operations warps" "operations groups" "bars " \
    "cubins cubins --arch sm_90a --module gemm.cu EXPERTS=1"; do expect "$NOTES" "$line"; done
[ "$(grep -c '^bars' "$NOTES")" = 2 ]

FASTEST=library
check "the library is fastest" 0 bench
expect "$NOTES" "service library"
refuse "$NOTES" "operations warps"

# What does not hold is neither measured nor chosen.
FASTEST=warps FAILS="small groups"
check "groups do not hold" 1 bench
refuse "$NOTES" "choice groups"
expect "$NOTES" "service warps"
expect "$work/text" "== failed: small/groups"
# A mode knows what the other found before it.
FASTEST=library FAILS=""
check "first one" 0 bench
"$here/Scripts/gpu-check.sh" checks "$work/lightllm" > "$work/text" 2>&1
expect "$NOTES" "goldens library"

# Devices without groups leave them out, and do not fail for it.
ARCHITECTURE=sm_80 FASTEST=groups
check "another device" 0 both
refuse "$NOTES" "operations groups"
refuse "$NOTES" "small groups"
refuse "$NOTES" "choice groups"

# What comes too late has failed, and what was before it has not.
short() {
    sed "s/^bench_total=.*/bench_total=$2/; s/^bench \(.*\) [0-9]*\$/bench \1 5/; s/^is_short > .*/:/" \
        "$here/Scripts/gpu-check.sh" > "$work/short.sh"
    rm -rf "$NOTES" "$OUT"
    status=0
    SLOW=$1 sh "$work/short.sh" bench "$work/lightllm" > "$work/text" 2>&1 || status=$?
    [ "$status" = 1 ] || { cat "$work/text"; exit 1; }
}
ARCHITECTURE=sm_90a FASTEST=warps
short device 20
expect "$work/text" "== device, products of warps: status 124 after 5 s"
expect "$work/text" "== failed: device/warps"
expect "$NOTES" "service warps"
short attention 8
expect "$work/text" "== step, products of warps: no time left"
refuse "$NOTES" "step warps"

# Limits that add up to too much are refused.
sed 's/^bench_total=.*/bench_total=100/' "$here/Scripts/gpu-check.sh" > "$work/long.sh"
if sh "$work/long.sh" plan > /dev/null 2>&1; then echo "a plan that is too long is not refused" >&2; exit 1; fi
echo "gpu-check.sh runs what it should"
