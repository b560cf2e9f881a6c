#!/bin/sh
# Puts what gpu-check.sh needs on another machine into one folder: lightllm, linked statically to Swift's libraries and
# without symbols, the libraries beside it that not every system has, the scripts, and recorded models. Says how large it is
# compressed, and fails if that is more than 64 MiB.
#
#     Scripts/pack-gpu-check.sh FOLDER [BINARY]    builds lightllm, which takes ten minutes, or takes BINARY as it is
#
# There: FOLDER/Scripts/gpu-check.sh bench, and checks.
set -e
here=$(cd "$(dirname "$0")/.." && pwd)
[ -n "$1" ] || { sed -n '2,8s/^# \{0,1\}//p' "$0" >&2; exit 64; }
mkdir -p "$1"
folder=$(cd "$1" && pwd)
binary=$2
if [ -z "$binary" ]; then
    # A build of its own: the other's products are linked otherwise.
    swift build --package-path "$here" --scratch-path "$here/.build/static" -c release --static-swift-stdlib --product lightllm
    binary=$here/.build/static/release/lightllm
fi
strip -o "$folder/lightllm" "$binary"
# Every system with a C++ compiler's library has these; the loader is a part of the C library.
ldd "$binary" | awk '$3 ~ /^\// { print $3 }' \
    | grep -vE '/(libc|libm|libdl|librt|libpthread|libstdc\+\+|libgcc_s|libresolv|libutil)\.so' | while read -r library; do
        cp -L "$library" "$folder"
        strip --strip-unneeded "$folder/$(basename "$library")" 2> /dev/null || true
    done
mkdir -p "$folder/Scripts" "$folder/goldens"
cp "$here/Scripts/gpu-check.sh" "$here/Scripts/gpu-peers.py" "$folder/Scripts"
cp -r "$here/Tests/Fixtures/goldens/models/." "$folder/goldens"
# It starts where nothing but this folder is known, and asks for no newer system than it may.
LD_LIBRARY_PATH=$folder "$folder/lightllm" doctor > /dev/null
LD_LIBRARY_PATH=$folder "$here/Scripts/check-binary.sh" "$folder/lightllm"
"$folder/Scripts/gpu-check.sh" plan > /dev/null
bytes=$(tar -C "$folder" -cz . | wc -c)
echo "$folder: $((bytes >> 20)) MiB compressed, $(du -sm "$folder" | cut -f1) MiB in $(find "$folder" -type f | wc -l) files"
[ "$bytes" -lt $((64 << 20)) ] || { echo "expected less than 64 MiB compressed" >&2; exit 1; }
