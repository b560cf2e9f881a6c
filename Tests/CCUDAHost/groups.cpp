#pragma clang diagnostic ignored "-Wpass-failed"
#define CUDA_HOST_SHIM
#include "groups.h"

#include "../../Sources/CCUDAKernels/cu/gemm_groups.cu"

int groups_launch(const char *name, cuda_host::Dim g, cuda_host::Dim b, size_t shared, void **arguments) {
#define KERNEL(kernel) \
    if (!strcmp(name, #kernel)) { \
        cuda_host::launch(kernel, g, b, shared, arguments); \
        return 0; \
    }
#define SHAPES(T) \
    KERNEL(group_gemm_##T##_64x32) KERNEL(group_gemm_##T##_64x64) KERNEL(group_gemm_##T##_128x128) KERNEL(group_gemm_##T##_128x256)
    SHAPES(bf16) SHAPES(f16)
    return 500;
}
