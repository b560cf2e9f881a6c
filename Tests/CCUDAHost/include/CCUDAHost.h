/// A CUDA device that is this computer's processor, for tests.
#ifndef CCUDAHOST_H
#define CCUDAHOST_H
#include "CCUDA.h"
#include <stdbool.h>
#include <stddef.h>
#ifdef __cplusplus
extern "C" {
#endif

/// Runs the host's build of a kernel of the source file that `image` names; 500 when there is none of that name.
int cuda_host_launch(
    const char *image, const char *name, const unsigned grid[3], const unsigned block[3], size_t shared, void **arguments);

/// Whether the threads of a block run from the last to the first, which shows barriers that are missing.
void cuda_host_set_backwards(bool backwards);

/// Fills a table of the driver whose device is this processor: kernels run when they are launched, a module is the name
/// of a source file and its definitions, and graphs run their nodes as they were last set.
void cuda_host_driver(ccuda_driver_api *out);

/// Fills a table of a cuBLASLt that computes on this processor, with algorithms of several orders of sums.
void cuda_host_cublaslt(ccuda_cublaslt_api *out);
/// How many products it has computed.
int cuda_host_cublaslt_calls(void);

/// The same, but nothing runs before somebody waits for it.
void cuda_host_late_driver(ccuda_driver_api *out);

/// The same, but no graph can be made executable.
void cuda_host_driver_without_graphs(ccuda_driver_api *out);

/// The same with `bytes` of memory. One of these exists in a process.
void cuda_host_small_driver(ccuda_driver_api *out, size_t bytes);

/// What a thread has asked of devices: launches that are no graph's, graphs made and launched, changed nodes, copies to
/// the device, and times it waited for a stream or an event.
typedef struct cuda_host_counts {
    long launches, graphs, graph_launches, changes, uploads, waits;
} cuda_host_counts;

/// Those of the calling thread so far.
cuda_host_counts cuda_host_counted(void);

/// Fills a table of an NCCL whose ranks are threads of this process; one group at a time.
void cuda_host_nccl(ccuda_nccl_api *out);
/// Calls that may fail.
enum cuda_host_call {
    CUDA_HOST_LAUNCH,
    CUDA_HOST_COPY_TO_DEVICE,
    CUDA_HOST_COPY_TO_HOST,
    CUDA_HOST_SYNCHRONIZE,
    CUDA_HOST_ALLOCATE,
    CUDA_HOST_MAKE_CURRENT,
    /// Making and changing graphs.
    CUDA_HOST_GRAPH
};

/// The same with a device that can be told to fail. One of these exists in a process.
void cuda_host_failing_driver(ccuda_driver_api *out);

/// Lets the device of `cuda_host_failing_driver` fail at the call of a kind after the next `calls`, with error 700, and all
/// calls that follow. Below 0: it is well again.
void cuda_host_fail(enum cuda_host_call call, int calls);

/// How many calls came after the one that failed, but for those that make the device a thread's own.
int cuda_host_calls_after_failure(void);
#ifdef __cplusplus
}
#endif
#endif
