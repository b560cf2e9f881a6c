#!/bin/sh
# Compiles every CUDA kernel with NVIDIA's compiler for GPUs of three generations, without a GPU, and fails when one spills
# more registers than a few. Takes the compiler from LIGHTLLM_CUDA_LIB, or as a Python package; without either nothing is
# checked (status 3).
set -e
here=$(cd "$(dirname "$0")/.." && pwd)
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
"$work/compile" "$LIGHTLLM_CUDA_LIB" sm_80 sm_90a sm_100a
# Our declarations against NVIDIA's headers, where these can be had.
# A folder of their own: pip adds nothing to packages that are there.
headers=$(find "$work/headers" /usr/local/cuda/include -name cuda.h -printf '%h\n' 2>/dev/null | head -1)
if [ -z "$headers" ] && python3 -m pip install --quiet --target "$work/headers" --no-deps nvidia-cuda-runtime-cu12 \
    2>> "$work/pip.log"; then
    headers=$(find "$work/headers" -name cuda.h -printf '%h\n' | head -1)
fi
if [ -n "$headers" ] && [ -e "$LIGHTLLM_CUDA_LIB/../include/nvrtc.h" ]; then
    ${CC:-clang} -Wall -Werror -fsyntax-only -I"$headers" -I"$LIGHTLLM_CUDA_LIB/../include" "$here/Scripts/check-cuda-abi.c"
    echo "declarations agree with $headers"
else
    echo "no headers of CUDA could be had: declarations were not checked"
fi
