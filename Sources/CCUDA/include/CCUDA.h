// Declarations of our own for the entry points of the CUDA driver, NVRTC and cuBLASLt that this package calls. They
// are looked up at run time, so nothing of CUDA is needed to build. Scripts/check-cuda-abi.c holds every line against
// NVIDIA's headers.
#ifndef CCUDA_H
#define CCUDA_H
#include <stddef.h>
#include <stdint.h>
#ifdef __clang__
#pragma clang diagnostic ignored "-Wnullability-completeness"
#endif

#ifdef CCUDA_REAL_HEADERS
#include <cuda.h>
#include <nvrtc.h>
#if __has_include(<cublasLt.h>)
#include <cublasLt.h>
#define CCUDA_HAS_CUBLASLT
#endif
#define CC_ENUM(real) real
#else
#define CC_ENUM(real) int
typedef int CUresult;
typedef int CUdevice;
typedef unsigned long long CUdeviceptr;
typedef struct ccuda_ctx *CUcontext;
typedef struct ccuda_stream *CUstream;
typedef struct ccuda_event *CUevent;
typedef struct ccuda_module *CUmodule;
typedef struct ccuda_func *CUfunction;
typedef struct ccuda_graph *CUgraph;
typedef struct ccuda_graphexec *CUgraphExec;
typedef struct ccuda_graphnode *CUgraphNode;
typedef struct ccuda_kernel *CUkernel;
typedef struct {
  CUfunction func;
  unsigned gridDimX, gridDimY, gridDimZ, blockDimX, blockDimY, blockDimZ, sharedMemBytes;
  void **kernelParams, **extra;
  CUkernel kern;
  CUcontext ctx;
} CUDA_KERNEL_NODE_PARAMS;
typedef int nvrtcResult;
typedef struct ccuda_nvrtcprog *nvrtcProgram;
#endif
#ifndef CCUDA_HAS_CUBLASLT
typedef int cublasStatus_t;
typedef struct ccuda_cublaslt *cublasLtHandle_t;
typedef struct ccuda_ltmm *cublasLtMatmulDesc_t;
typedef struct ccuda_ltlayout *cublasLtMatrixLayout_t;
typedef struct ccuda_ltpref *cublasLtMatmulPreference_t;
typedef struct { uint64_t data[8]; } cublasLtMatmulAlgo_t;
typedef struct { cublasLtMatmulAlgo_t algo; size_t workspaceSize; cublasStatus_t state; float wavesCount; int reserved[4]; }
  cublasLtMatmulHeuristicResult_t;
#endif
#ifdef CCUDA_HAS_CUBLASLT
#define CC_BLAS(real) real
#else
#define CC_BLAS(real) int
#endif
// cudaStream_t and CUstream are the same pointer type.
#if defined(CCUDA_REAL_HEADERS) && __has_include(<nccl.h>)
#include <nccl.h>
#define CC_NCCL(real) real
#else
#define CC_NCCL(real) int
typedef int ncclResult_t;
typedef struct ccuda_nccl *ncclComm_t;
typedef struct { char internal[128]; } ncclUniqueId;
#endif

// X(field, symbol, result, arguments)
#define CCUDA_DRIVER(X) \
  X(init, cuInit, CUresult, (unsigned flags)) \
  X(driverGetVersion, cuDriverGetVersion, CUresult, (int *v)) \
  X(getErrorName, cuGetErrorName, CUresult, (CUresult e, const char **s)) \
  X(getErrorString, cuGetErrorString, CUresult, (CUresult e, const char **s)) \
  X(deviceGetCount, cuDeviceGetCount, CUresult, (int *n)) \
  X(deviceGet, cuDeviceGet, CUresult, (CUdevice *d, int i)) \
  X(deviceGetName, cuDeviceGetName, CUresult, (char *s, int n, CUdevice d)) \
  X(deviceGetAttribute, cuDeviceGetAttribute, CUresult, (int *v, CC_ENUM(CUdevice_attribute) a, CUdevice d)) \
  X(deviceTotalMem, cuDeviceTotalMem_v2, CUresult, (size_t *b, CUdevice d)) \
  X(primaryCtxRetain, cuDevicePrimaryCtxRetain, CUresult, (CUcontext *c, CUdevice d)) \
  X(primaryCtxRelease, cuDevicePrimaryCtxRelease_v2, CUresult, (CUdevice d)) \
  X(ctxSetCurrent, cuCtxSetCurrent, CUresult, (CUcontext c)) \
  X(ctxSynchronize, cuCtxSynchronize, CUresult, (void)) \
  X(memGetInfo, cuMemGetInfo_v2, CUresult, (size_t *f, size_t *t)) \
  X(memAlloc, cuMemAlloc_v2, CUresult, (CUdeviceptr *p, size_t n)) \
  X(memFree, cuMemFree_v2, CUresult, (CUdeviceptr p)) \
  X(memHostAlloc, cuMemHostAlloc, CUresult, (void **p, size_t n, unsigned flags)) \
  X(memFreeHost, cuMemFreeHost, CUresult, (void *p)) \
  X(memcpyHtoDAsync, cuMemcpyHtoDAsync_v2, CUresult, (CUdeviceptr d, const void *s, size_t n, CUstream st)) \
  X(memcpyDtoHAsync, cuMemcpyDtoHAsync_v2, CUresult, (void *d, CUdeviceptr s, size_t n, CUstream st)) \
  X(memcpyDtoDAsync, cuMemcpyDtoDAsync_v2, CUresult, (CUdeviceptr d, CUdeviceptr s, size_t n, CUstream st)) \
  X(memsetD8Async, cuMemsetD8Async, CUresult, (CUdeviceptr d, unsigned char v, size_t n, CUstream st)) \
  X(streamCreate, cuStreamCreate, CUresult, (CUstream *s, unsigned flags)) \
  X(streamDestroy, cuStreamDestroy_v2, CUresult, (CUstream s)) \
  X(streamSynchronize, cuStreamSynchronize, CUresult, (CUstream s)) \
  X(streamQuery, cuStreamQuery, CUresult, (CUstream s)) \
  X(streamWaitEvent, cuStreamWaitEvent, CUresult, (CUstream s, CUevent e, unsigned flags)) \
  X(graphCreate, cuGraphCreate, CUresult, (CUgraph *g, unsigned flags)) \
  X(graphAddKernelNode, cuGraphAddKernelNode_v2, CUresult, (CUgraphNode *n, CUgraph g, const CUgraphNode *after, size_t count, \
      const CUDA_KERNEL_NODE_PARAMS *p)) \
  X(graphInstantiate, cuGraphInstantiateWithFlags, CUresult, (CUgraphExec *e, CUgraph g, unsigned long long flags)) \
  X(graphExecKernelNodeSetParams, cuGraphExecKernelNodeSetParams_v2, CUresult, (CUgraphExec e, CUgraphNode n, \
      const CUDA_KERNEL_NODE_PARAMS *p)) \
  X(graphLaunch, cuGraphLaunch, CUresult, (CUgraphExec e, CUstream s)) \
  X(graphDestroy, cuGraphDestroy, CUresult, (CUgraph g)) \
  X(graphExecDestroy, cuGraphExecDestroy, CUresult, (CUgraphExec e)) \
  X(eventCreate, cuEventCreate, CUresult, (CUevent *e, unsigned flags)) \
  X(eventRecord, cuEventRecord, CUresult, (CUevent e, CUstream s)) \
  X(eventSynchronize, cuEventSynchronize, CUresult, (CUevent e)) \
  X(eventElapsedTime, cuEventElapsedTime, CUresult, (float *ms, CUevent a, CUevent b)) \
  X(eventDestroy, cuEventDestroy_v2, CUresult, (CUevent e)) \
  X(moduleLoadData, cuModuleLoadData, CUresult, (CUmodule *m, const void *image)) \
  X(moduleUnload, cuModuleUnload, CUresult, (CUmodule m)) \
  X(moduleGetFunction, cuModuleGetFunction, CUresult, (CUfunction *f, CUmodule m, const char *name)) \
  X(funcSetAttribute, cuFuncSetAttribute, CUresult, (CUfunction f, CC_ENUM(CUfunction_attribute) a, int v)) \
  X(occupancy, cuOccupancyMaxActiveBlocksPerMultiprocessor, CUresult, (int *n, CUfunction f, int block, size_t smem)) \
  X(launchKernel, cuLaunchKernel, CUresult, (CUfunction f, unsigned gx, unsigned gy, unsigned gz, unsigned bx, unsigned by, \
      unsigned bz, unsigned smem, CUstream s, void **params, void **extra))

#define CCUDA_NVRTC(X) \
  X(version, nvrtcVersion, nvrtcResult, (int *major, int *minor)) \
  X(getErrorString, nvrtcGetErrorString, const char *, (nvrtcResult r)) \
  X(getNumSupportedArchs, nvrtcGetNumSupportedArchs, nvrtcResult, (int *n)) \
  X(getSupportedArchs, nvrtcGetSupportedArchs, nvrtcResult, (int *a)) \
  X(createProgram, nvrtcCreateProgram, nvrtcResult, (nvrtcProgram *p, const char *src, const char *name, int n, \
      const char *const *headers, const char *const *includeNames)) \
  X(destroyProgram, nvrtcDestroyProgram, nvrtcResult, (nvrtcProgram *p)) \
  X(compileProgram, nvrtcCompileProgram, nvrtcResult, (nvrtcProgram p, int n, const char *const *opts)) \
  X(getProgramLogSize, nvrtcGetProgramLogSize, nvrtcResult, (nvrtcProgram p, size_t *n)) \
  X(getProgramLog, nvrtcGetProgramLog, nvrtcResult, (nvrtcProgram p, char *log)) \
  X(getCUBINSize, nvrtcGetCUBINSize, nvrtcResult, (nvrtcProgram p, size_t *n)) \
  X(getCUBIN, nvrtcGetCUBIN, nvrtcResult, (nvrtcProgram p, char *out))

#define CCUDA_CUBLASLT(X) \
  X(create, cublasLtCreate, cublasStatus_t, (cublasLtHandle_t *h)) \
  X(destroy, cublasLtDestroy, cublasStatus_t, (cublasLtHandle_t h)) \
  X(getVersion, cublasLtGetVersion, size_t, (void)) \
  X(getStatusString, cublasLtGetStatusString, const char *, (cublasStatus_t s)) \
  X(matmulDescCreate, cublasLtMatmulDescCreate, cublasStatus_t, (cublasLtMatmulDesc_t *d, CC_BLAS(cublasComputeType_t) c, CC_BLAS(cudaDataType_t) s)) \
  X(matmulDescDestroy, cublasLtMatmulDescDestroy, cublasStatus_t, (cublasLtMatmulDesc_t d)) \
  X(matmulDescSet, cublasLtMatmulDescSetAttribute, cublasStatus_t, (cublasLtMatmulDesc_t d, CC_BLAS(cublasLtMatmulDescAttributes_t) a, const void *v, size_t n)) \
  X(layoutCreate, cublasLtMatrixLayoutCreate, cublasStatus_t, (cublasLtMatrixLayout_t *l, CC_BLAS(cudaDataType) t, uint64_t r, uint64_t c, int64_t ld)) \
  X(layoutDestroy, cublasLtMatrixLayoutDestroy, cublasStatus_t, (cublasLtMatrixLayout_t l)) \
  X(layoutSet, cublasLtMatrixLayoutSetAttribute, cublasStatus_t, (cublasLtMatrixLayout_t l, CC_BLAS(cublasLtMatrixLayoutAttribute_t) a, const void *v, size_t n)) \
  X(prefCreate, cublasLtMatmulPreferenceCreate, cublasStatus_t, (cublasLtMatmulPreference_t *p)) \
  X(prefDestroy, cublasLtMatmulPreferenceDestroy, cublasStatus_t, (cublasLtMatmulPreference_t p)) \
  X(prefSet, cublasLtMatmulPreferenceSetAttribute, cublasStatus_t, (cublasLtMatmulPreference_t p, CC_BLAS(cublasLtMatmulPreferenceAttributes_t) a, const void *v, size_t n)) \
  X(heuristic, cublasLtMatmulAlgoGetHeuristic, cublasStatus_t, (cublasLtHandle_t h, cublasLtMatmulDesc_t d, cublasLtMatrixLayout_t a, \
      cublasLtMatrixLayout_t b, cublasLtMatrixLayout_t c, cublasLtMatrixLayout_t dd, cublasLtMatmulPreference_t p, int n, \
      cublasLtMatmulHeuristicResult_t *out, int *found)) \
  X(matmul, cublasLtMatmul, cublasStatus_t, (cublasLtHandle_t h, cublasLtMatmulDesc_t d, const void *alpha, const void *a, cublasLtMatrixLayout_t al, \
      const void *b, cublasLtMatrixLayout_t bl, const void *beta, const void *c, cublasLtMatrixLayout_t cl, void *dd, cublasLtMatrixLayout_t dl, \
      const cublasLtMatmulAlgo_t *algo, void *ws, size_t wsn, CUstream s))

#define CCUDA_NCCL(X) \
  X(getUniqueId, ncclGetUniqueId, ncclResult_t, (ncclUniqueId *id)) \
  X(getErrorString, ncclGetErrorString, const char *, (ncclResult_t r)) \
  X(commInitRank, ncclCommInitRank, ncclResult_t, (ncclComm_t *c, int n, ncclUniqueId id, int rank)) \
  X(commDestroy, ncclCommDestroy, ncclResult_t, (ncclComm_t c)) \
  X(allGather, ncclAllGather, ncclResult_t, (const void *s, void *r, size_t n, CC_NCCL(ncclDataType_t) t, ncclComm_t c, CUstream stream)) \
  X(send, ncclSend, ncclResult_t, (const void *s, size_t n, CC_NCCL(ncclDataType_t) t, int to, ncclComm_t c, CUstream stream)) \
  X(receive, ncclRecv, ncclResult_t, (void *r, size_t n, CC_NCCL(ncclDataType_t) t, int from, ncclComm_t c, CUstream stream)) \
  X(groupStart, ncclGroupStart, ncclResult_t, (void)) \
  X(groupEnd, ncclGroupEnd, ncclResult_t, (void))

#ifdef __clang__
#define CC_NONNULL _Nonnull   // a resolved table has every entry, so Swift calls need no unwrapping
#else
#define CC_NONNULL
#endif
#define CCUDA_FIELD(field, symbol, ret, args) ret(*CC_NONNULL field) args;
// One struct of entry points for each library.
typedef struct ccuda_driver_api { CCUDA_DRIVER(CCUDA_FIELD) } ccuda_driver_api;
typedef struct ccuda_nvrtc_api { CCUDA_NVRTC(CCUDA_FIELD) } ccuda_nvrtc_api;
typedef struct ccuda_cublaslt_api { CCUDA_CUBLASLT(CCUDA_FIELD) } ccuda_cublaslt_api;
typedef struct ccuda_nccl_api { CCUDA_NCCL(CCUDA_FIELD) } ccuda_nccl_api;

enum { CCUDA_ATTR_MP_COUNT = 16, CCUDA_ATTR_CC_MAJOR = 75, CCUDA_ATTR_CC_MINOR = 76, CCUDA_ATTR_L2_BYTES = 38,
       CCUDA_ATTR_SMEM_OPTIN = 97, CCUDA_FUNC_ATTR_MAX_DYN_SMEM = 8, CCUDA_STREAM_NON_BLOCKING = 1,
       CCUDA_EVENT_WITHOUT_TIME = 2 };

// The path of the library that a symbol came from; the library owns it.
const char *ccuda_symbol_file(const void *symbol);
// Opens a library, or looks up all of its entry points. Null on success, else a message for the caller to free.
char *ccuda_open(const char *path, void **handle);
char *ccuda_resolve_driver(void *handle, ccuda_driver_api *out);
// Fills a table whose device does nothing; work is neither captured nor timed.
void ccuda_idle_driver(ccuda_driver_api *out);
char *ccuda_resolve_nvrtc(void *handle, ccuda_nvrtc_api *out);
char *ccuda_resolve_cublaslt(void *handle, ccuda_cublaslt_api *out);
char *ccuda_resolve_nccl(void *handle, ccuda_nccl_api *out);
#endif
