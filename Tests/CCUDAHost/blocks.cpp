#pragma clang diagnostic ignored "-Wpass-failed"
#define CUDA_HOST_SHIM
#include "blocks.h"

#include "../../Sources/CCUDAKernels/cu/gemm_blocks.cu"

int blocks_launch(const char *name, cuda_host::Dim g, cuda_host::Dim b, size_t shared, void **arguments) {
#define KERNEL(kernel) \
    if (!strcmp(name, #kernel)) { \
        cuda_host::launch(kernel, g, b, shared, arguments); \
        return 0; \
    }
#define FORMAT_KERNELS(F) \
    KERNEL(gemm_##F##_16x64) KERNEL(gemm_##F##_64x64) KERNEL(gemm_##F##_128x128) KERNEL(pack_##F) KERNEL(embed_##F)
    FORMAT_KERNELS(q4_0) FORMAT_KERNELS(q4_1) FORMAT_KERNELS(q5_0) FORMAT_KERNELS(q5_1) FORMAT_KERNELS(q8_0)
    FORMAT_KERNELS(q2_K) FORMAT_KERNELS(q3_K) FORMAT_KERNELS(q4_K) FORMAT_KERNELS(q5_K) FORMAT_KERNELS(q6_K)
    return 500;
}
