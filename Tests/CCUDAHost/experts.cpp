#pragma clang diagnostic ignored "-Wpass-failed"
#define CUDA_HOST_SHIM
#define EXPERTS
#include "experts.h"

#include "../../Sources/CCUDAKernels/cu/blocks.cuh"
#include "../../Sources/CCUDAKernels/cu/groups.cuh"
#include "../../Sources/CCUDAKernels/cu/products.cuh"
// Each has templates of the same names.
namespace warps {
#include "../../Sources/CCUDAKernels/cu/gemm.cu"
}
#undef GEMM
#undef GEMMS
namespace groups {
#include "../../Sources/CCUDAKernels/cu/gemm_groups.cu"
}
namespace blocks {
#include "../../Sources/CCUDAKernels/cu/gemm_blocks.cu"
}
using namespace warps;
using namespace groups;
using namespace blocks;

int experts_launch(const char *name, cuda_host::Dim g, cuda_host::Dim b, size_t shared, void **arguments) {
#define KERNEL(kernel) \
    if (!strcmp(name, #kernel)) { \
        cuda_host::launch(kernel, g, b, shared, arguments); \
        return 0; \
    }
#define OF_WARPS(T) \
    KERNEL(experts_gemm_##T##_16x64) KERNEL(experts_gemm_##T##_32x64) KERNEL(experts_gemm_##T##_64x64) \
    KERNEL(experts_gemm_##T##_128x128) KERNEL(experts_gemm_##T##_128x256) \
    KERNEL(heads_gemm_##T##_16x64) KERNEL(heads_gemm_##T##_32x64) KERNEL(heads_gemm_##T##_64x64) \
    KERNEL(heads_gemm_##T##_128x128) KERNEL(heads_gemm_##T##_128x256)
#define OF_GROUPS(T) \
    KERNEL(experts_group_gemm_##T##_64x32) KERNEL(experts_group_gemm_##T##_64x64) \
    KERNEL(experts_group_gemm_##T##_128x128) KERNEL(experts_group_gemm_##T##_128x256) \
    KERNEL(heads_group_gemm_##T##_64x32) KERNEL(heads_group_gemm_##T##_64x64) \
    KERNEL(heads_group_gemm_##T##_128x128) KERNEL(heads_group_gemm_##T##_128x256)
#define OF_FORMAT(F) \
    KERNEL(experts_gemm_##F##_16x64) KERNEL(experts_gemm_##F##_64x64) KERNEL(experts_gemm_##F##_128x128) \
    KERNEL(heads_gemm_##F##_16x64) KERNEL(heads_gemm_##F##_64x64) KERNEL(heads_gemm_##F##_128x128)
    OF_WARPS(bf16) OF_WARPS(f16) OF_GROUPS(bf16) OF_GROUPS(f16) KERNEL(experts_gemm_float) KERNEL(heads_gemm_float)
    OF_FORMAT(q4_0) OF_FORMAT(q4_1) OF_FORMAT(q5_0) OF_FORMAT(q5_1) OF_FORMAT(q8_0)
    OF_FORMAT(q2_K) OF_FORMAT(q3_K) OF_FORMAT(q4_K) OF_FORMAT(q5_K) OF_FORMAT(q6_K)
    return 500;
}
