#!/bin/sh
# Which version of the system's C library a binary and Swift's libraries beneath it need: no later than Ubuntu 22.04's,
# so that what is built on an older system runs on most machines. (With --static-swift-stdlib all is in one file.)
#
#     Scripts/check-binary.sh [BINARY]
set -e
here=$(cd "$(dirname "$0")/.." && pwd)
binary=${1:-$here/.build/release/lightllm}
files="$binary $(ldd "$binary" | awk '$3 ~ /\/swift\// {print $3}')"
# latest NAME: the latest version of those called NAME_x.y that the files ask for.
latest() {
    for file in $files; do readelf --wide --version-info "$file"; done | sed -n "/Version needs/,/^$/p" \
        | grep -oE "Name: $1_[0-9.]+" | sed "s/.*_//" | sort -Vu | tail -n 1
}
status=0
for limit in GLIBC=2.35 GLIBCXX=3.4.30 CXXABI=1.3.13; do
    name=${limit%=*} most=${limit#*=}
    found=$(latest "$name")
    [ -n "$found" ] || { [ "$name" != GLIBC ] || { echo "no version of $name was found" >&2; status=1; }; continue; }
    if [ "$(printf '%s\n%s\n' "$found" "$most" | sort -V | tail -n 1)" = "$most" ]; then
        echo "$name $found is needed, at most $most"
    else
        echo "$name $found is needed, expected at most $most" >&2
        status=1
    fi
done
exit $status
