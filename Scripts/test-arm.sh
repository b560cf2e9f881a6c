#!/bin/sh
# Runs the kernels for 64-bit Arm against their scalar twins: at once on such a machine, elsewhere through an
# emulator, whose packages it installs (Debian and Ubuntu). Ends with 3 where those cannot be had.
set -e
cd "$(dirname "$0")/.."
program=$(mktemp)
trap 'rm -f "$program"' EXIT
sources="Tests/Arm/twins.c Sources/CKernels/*.c"
if [ "$(uname -m)" = aarch64 ]; then
    clang -O2 -Wall -Werror -o "$program" $sources -lm
    "$program"
    exit
fi
prefix=aarch64-linux-gnu
if ! command -v $prefix-gcc >/dev/null || ! command -v qemu-aarch64-static >/dev/null; then
    sudo=""
    [ "$(id -u)" = 0 ] || sudo="sudo"
    $sudo apt-get update -qq || true
    DEBIAN_FRONTEND=noninteractive $sudo apt-get install -y -qq --no-install-recommends \
        gcc-$prefix libc6-dev-arm64-cross qemu-user-static >/dev/null || exit 3
fi
libraries=$(dirname "$($prefix-gcc -print-libgcc-file-name)")
clang --target=$prefix --sysroot=/usr/$prefix -isystem /usr/$prefix/include -fuse-ld="$(command -v $prefix-ld)" \
    -B"$libraries" -L"$libraries" -static -O2 -Wall -Werror -o "$program" $sources -lm
qemu-aarch64-static "$program"
