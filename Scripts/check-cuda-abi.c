// Holds the declarations in CCUDA.h against NVIDIA's own headers: every entry point must have the type that theirs has.
// Compile it, with the folders of cuda.h, nvrtc.h and, where they can be had, cublasLt.h and nccl.h; there is nothing to link.
// With EXPECTS_CUBLASLT and EXPECTS_NCCL it fails where their headers are not found.
#define CCUDA_REAL_HEADERS
#include "../Sources/CCUDA/include/CCUDA.h"

#if defined(EXPECTS_CUBLASLT) && !defined(CCUDA_HAS_CUBLASLT)
#error "cublasLt.h was not found: its declarations were not checked"
#endif
#if defined(EXPECTS_NCCL) && !__has_include(<nccl.h>)
#error "nccl.h was not found: its declarations were not checked"
#endif

#define ASSIGN(field, symbol, result, arguments) table->field = &symbol;
void check_driver(ccuda_driver_api *table) { CCUDA_DRIVER(ASSIGN) }
void check_compiler(ccuda_nvrtc_api *table) { CCUDA_NVRTC(ASSIGN) }
#ifdef CCUDA_HAS_CUBLASLT
void check_products(ccuda_cublaslt_api *table) { CCUDA_CUBLASLT(ASSIGN) }
_Static_assert(sizeof(cublasLtMatmulAlgo_t) == 64 && sizeof(cublasLtMatmulHeuristicResult_t) == 96, "sizes");
// As CublasLt.swift has them.
_Static_assert(
    CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES == 1 && CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK == 3 &&
        CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES == 5 && CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES == 8 &&
        CUBLASLT_REDUCTION_SCHEME_NONE == 0 && CUBLASLT_MATMUL_DESC_TRANSA == 3,
    "attributes");
#endif

#if __has_include(<nccl.h>)
void check_exchange(ccuda_nccl_api *table) { CCUDA_NCCL(ASSIGN) }
_Static_assert(sizeof(ncclUniqueId) == 128 && ncclFloat32 == 7, "NCCL");
#endif

// As it is written where there are no headers: a pointer, seven numbers, and pointers.
_Static_assert(sizeof(CUDA_KERNEL_NODE_PARAMS) == 72 && offsetof(CUDA_KERNEL_NODE_PARAMS, sharedMemBytes) == 32 &&
               offsetof(CUDA_KERNEL_NODE_PARAMS, kernelParams) == 40 && offsetof(CUDA_KERNEL_NODE_PARAMS, ctx) == 64,
               "a kernel's node");

#define SAME(ours, theirs) _Static_assert((int)(ours) == (int)(theirs), #ours)
SAME(CCUDA_ATTR_MP_COUNT, CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT);
SAME(CCUDA_ATTR_CC_MAJOR, CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR);
SAME(CCUDA_ATTR_CC_MINOR, CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR);
SAME(CCUDA_ATTR_L2_BYTES, CU_DEVICE_ATTRIBUTE_L2_CACHE_SIZE);
SAME(CCUDA_ATTR_SMEM_OPTIN, CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK_OPTIN);
SAME(CCUDA_FUNC_ATTR_MAX_DYN_SMEM, CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES);
SAME(CCUDA_EVENT_WITHOUT_TIME, CU_EVENT_DISABLE_TIMING);
SAME(CCUDA_STREAM_NON_BLOCKING, CU_STREAM_NON_BLOCKING);
