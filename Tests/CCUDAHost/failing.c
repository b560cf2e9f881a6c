#include "CCUDAHost.h"

// A device that fails when it is told to, and as real ones do: every call after the first error has the same.
static ccuda_driver_api sound;
static int watched, left = -1, is_lost, late_calls;

static CUresult pass(int call) {
    if (__atomic_load_n(&is_lost, __ATOMIC_SEQ_CST)) {
        // Memory is given back at any time, by what tests before have left.
        if (call != CUDA_HOST_MAKE_CURRENT) { __atomic_fetch_add(&late_calls, 1, __ATOMIC_SEQ_CST); }
        return 700;
    }
    if (call != __atomic_load_n(&watched, __ATOMIC_SEQ_CST)) { return 0; }
    if (__atomic_load_n(&left, __ATOMIC_SEQ_CST) < 0) { return 0; }
    if (__atomic_fetch_sub(&left, 1, __ATOMIC_SEQ_CST) > 0) { return 0; }
    __atomic_store_n(&is_lost, 1, __ATOMIC_SEQ_CST);
    return 700;
}

void cuda_host_fail(enum cuda_host_call call, int calls) {
    __atomic_store_n(&is_lost, 0, __ATOMIC_SEQ_CST);
    __atomic_store_n(&late_calls, 0, __ATOMIC_SEQ_CST);
    __atomic_store_n(&left, -1, __ATOMIC_SEQ_CST);
    __atomic_store_n(&watched, (int)call, __ATOMIC_SEQ_CST);
    __atomic_store_n(&left, calls, __ATOMIC_SEQ_CST);
}

int cuda_host_calls_after_failure(void) { return __atomic_load_n(&late_calls, __ATOMIC_SEQ_CST); }

static CUresult make_current(CUcontext context) {
    CUresult result = pass(CUDA_HOST_MAKE_CURRENT);
    return result ? result : sound.ctxSetCurrent(context);
}

static CUresult allocate(CUdeviceptr *address, size_t bytes) {
    CUresult result = pass(CUDA_HOST_ALLOCATE);
    return result ? result : sound.memAlloc(address, bytes);
}

static CUresult host_allocate(void **address, size_t bytes, unsigned flags) {
    CUresult result = pass(CUDA_HOST_ALLOCATE);
    return result ? result : sound.memHostAlloc(address, bytes, flags);
}

static CUresult to_device(CUdeviceptr to, const void *from, size_t bytes, CUstream stream) {
    CUresult result = pass(CUDA_HOST_COPY_TO_DEVICE);
    return result ? result : sound.memcpyHtoDAsync(to, from, bytes, stream);
}

static CUresult to_host(void *to, CUdeviceptr from, size_t bytes, CUstream stream) {
    CUresult result = pass(CUDA_HOST_COPY_TO_HOST);
    return result ? result : sound.memcpyDtoHAsync(to, from, bytes, stream);
}

static CUresult synchronize(CUstream stream) {
    CUresult result = pass(CUDA_HOST_SYNCHRONIZE);
    return result ? result : sound.streamSynchronize(stream);
}

static CUresult launch(
    CUfunction f, unsigned gx, unsigned gy, unsigned gz, unsigned bx, unsigned by, unsigned bz, unsigned shared,
    CUstream stream, void **arguments, void **extra) {
    CUresult result = pass(CUDA_HOST_LAUNCH);
    return result ? result : sound.launchKernel(f, gx, gy, gz, bx, by, bz, shared, stream, arguments, extra);
}

static CUresult launch_graph(CUgraphExec exec, CUstream stream) {
    CUresult result = pass(CUDA_HOST_LAUNCH);
    return result ? result : sound.graphLaunch(exec, stream);
}

static CUresult make_graph(CUgraphExec *exec, CUgraph graph, unsigned long long flags) {
    CUresult result = pass(CUDA_HOST_GRAPH);
    return result ? result : sound.graphInstantiate(exec, graph, flags);
}

static CUresult change_graph(CUgraphExec exec, CUgraphNode node, const CUDA_KERNEL_NODE_PARAMS *p) {
    CUresult result = pass(CUDA_HOST_GRAPH);
    return result ? result : sound.graphExecKernelNodeSetParams(exec, node, p);
}

static CUresult wait_for_event(CUevent event) {
    CUresult result = pass(CUDA_HOST_SYNCHRONIZE);
    return result ? result : sound.eventSynchronize(event);
}

// Memory is given back whatever became of the device, or tests would leak.
void cuda_host_failing_driver(ccuda_driver_api *out) {
    cuda_host_driver(&sound);
    *out = sound;
    out->ctxSetCurrent = make_current;
    out->memAlloc = allocate;
    out->memHostAlloc = host_allocate;
    out->memcpyHtoDAsync = to_device;
    out->memcpyDtoHAsync = to_host;
    out->streamSynchronize = synchronize;
    out->launchKernel = launch;
    out->graphLaunch = launch_graph;
    out->graphInstantiate = make_graph;
    out->graphExecKernelNodeSetParams = change_graph;
    out->eventSynchronize = wait_for_event;
}
