#!/bin/sh
# Compiles every CUDA kernel in every variant that the binary may ask for, with NVIDIA's compiler, for GPUs of three
# generations and without a GPU, and fails when one takes more registers than it may (cuda-kernel-limits.h). Then holds our
# declarations against NVIDIA's headers. Takes the compiler from LIGHTLLM_CUDA_LIB, or as a Python package; without either
# nothing is checked (status 3).
#
#     Scripts/check-cuda-kernels.sh [-v] [ARCHITECTURES [BINARY]]    -v prints every kernel
set -e
here=$(cd "$(dirname "$0")/.." && pwd)
verbose=""
[ "$1" = -v ] && verbose=-v && shift
architectures=${1:-sm_80,sm_90a,sm_100a}
binary=${2:-$here/.build/release/lightllm}
[ -x "$binary" ] || { echo "$binary, which says what there is to compile, is not built" >&2; exit 1; }
work=${TMPDIR:-/tmp}/lightllm-cuda-check
mkdir -p "$work"
if [ -z "$LIGHTLLM_CUDA_LIB" ]; then
    LIGHTLLM_CUDA_LIB=$(find "$work/packages" -name 'libnvrtc.so.1?' -printf '%h\n' 2>/dev/null | head -1)
fi
if [ -z "$LIGHTLLM_CUDA_LIB" ]; then
    python3 -m pip install --quiet --target "$work/packages" --no-deps nvidia-cuda-nvrtc-cu12 2> "$work/pip.log" || {
        echo "no compiler for CUDA could be had: kernels were not compiled" >&2
        exit 3
    }
    LIGHTLLM_CUDA_LIB=$(find "$work/packages" -name 'libnvrtc.so.1?' -printf '%h\n' | head -1)
fi
${CC:-clang} -w -I"$here/Sources/CCUDA/include" -I"$here/Sources/CCUDAKernels/include" -o "$work/compile" \
    "$here/Scripts/compile-cuda-kernels.c" "$here/Sources/CCUDA/ccuda.c" "$here/Sources/CCUDAKernels/sources.c" -ldl
"$binary" cubins --arch "$architectures" --list > "$work/modules.txt"
"$work/compile" "$LIGHTLLM_CUDA_LIB" $verbose < "$work/modules.txt"

# Our declarations against NVIDIA's headers, where these can be had. Those beside large libraries come alone.
headers=$work/include
mkdir -p "$headers"
fetch() { python3 "$here/Scripts/fetch-wheel-headers.py" "$1" "$headers" "$2" $3; }
if [ ! -e "$headers/complete" ]; then
    rm -rf "$work/headers"
    if python3 -m pip install --quiet --target "$work/headers" --no-deps nvidia-cuda-runtime-cu12 2>> "$work/pip.log"; then
        cp -r "$(find "$work/headers" -name cuda.h -printf '%h\n' | head -1)/." "$headers"
    fi
    [ ! -e "$LIGHTLLM_CUDA_LIB/../include/nvrtc.h" ] || cp "$LIGHTLLM_CUDA_LIB/../include/nvrtc.h" "$headers"
    # cublasLt.h and nccl.h include headers of the compiler, and of its library of templates.
    if fetch nvidia-cuda-nvcc-cu12 crt/ && fetch nvidia-cuda-cccl-cu12 nv/; then
        fetch nvidia-cublas-cu12 cublas_api.h cublasLt.h && fetch nvidia-nccl-cu12 nccl.h && touch "$headers/complete"
    fi || true
fi
if [ ! -e "$headers/cuda.h" ] || [ ! -e "$headers/nvrtc.h" ]; then
    echo "NO HEADERS OF CUDA COULD BE HAD: declarations were not checked" >&2
    exit 3
fi
expected=""
[ -e "$headers/cublasLt.h" ] && expected="-DEXPECTS_CUBLASLT" || echo "NO HEADERS OF CUBLASLT: its declarations were not checked" >&2
[ -e "$headers/nccl.h" ] && expected="$expected -DEXPECTS_NCCL" || echo "NO HEADERS OF NCCL: its declarations were not checked" >&2
${CC:-clang} -Wall -Werror -fsyntax-only $expected -I"$headers" "$here/Scripts/check-cuda-abi.c"
# The check itself: with a type that is not theirs it must fail.
for change in 's/(ncclComm_t c))/(ncclComm_t *c))/' 's/(cublasLtHandle_t h))/(cublasLtHandle_t *h))/' \
    's/cuInit, CUresult, (unsigned flags)/cuInit, CUresult, (long flags)/'; do
    case "$change $expected" in *nccl*NCCL* | *cublas*CUBLASLT* | *cuInit*) ;; *) continue ;; esac
    mkdir -p "$work/changed/Scripts" "$work/changed/Sources/CCUDA/include"
    cp "$here/Scripts/check-cuda-abi.c" "$work/changed/Scripts"
    sed "$change" "$here/Sources/CCUDA/include/CCUDA.h" > "$work/changed/Sources/CCUDA/include/CCUDA.h"
    if ${CC:-clang} -Wall -Werror -fsyntax-only $expected -I"$headers" "$work/changed/Scripts/check-cuda-abi.c" 2> /dev/null; then
        echo "declarations that differ ($change) are not found out" >&2
        exit 1
    fi
done
echo "declarations agree with NVIDIA's headers: driver, NVRTC$(echo "$expected" | sed 's/-DEXPECTS_/, /g; s/ ,/,/g')"
