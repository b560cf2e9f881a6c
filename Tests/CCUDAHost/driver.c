#include "CCUDAHost.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { most_arguments = 40, name_bytes = 64 };

// Something that was enqueued: a launch, a copy, or a fill.
typedef struct operation {
    struct operation *next;
    enum { launch, copy, fill } kind;
    struct ccuda_func *function;
    unsigned grid[3], block[3];
    size_t size; // of shared memory, or bytes
    void *to;
    const void *from;
    unsigned char value;
    int count;
    void *arguments[most_arguments];
    uint64_t words[most_arguments];
} operation;

struct ccuda_module { char image[2 * name_bytes]; };
struct ccuda_func { char image[2 * name_bytes], name[name_bytes]; };
struct ccuda_stream { operation *first, **end; int captures; };
struct ccuda_graph { operation *first; };
struct ccuda_graphexec { operation *first; };

static CUresult run(operation *o) {
    switch (o->kind) {
    case copy: memcpy(o->to, o->from, o->size); return 0;
    case fill: memset(o->to, o->value, o->size); return 0;
    default: return cuda_host_launch(o->function->image, o->function->name, o->grid, o->block, o->size, o->arguments);
    }
}

static CUresult submit(CUstream stream, operation *o) {
    if (stream && stream->captures) {
        operation *kept = malloc(sizeof *kept);
        *kept = *o;
        for (int i = 0; i < o->count; i++) {
            memcpy(&kept->words[i], o->arguments[i], 8);
            kept->arguments[i] = &kept->words[i];
        }
        kept->next = NULL;
        *stream->end = kept;
        stream->end = &kept->next;
        return 0;
    }
    return run(o);
}

static void forget(operation *o) {
    while (o) {
        operation *next = o->next;
        free(o);
        o = next;
    }
}

static CUresult init(unsigned flags) { return 0; }
static CUresult driver_version(int *version) { *version = 13000; return 0; }
static CUresult error_name(CUresult error, const char **text) {
    *text = error == 500 ? "CUDA_ERROR_NOT_FOUND" : error == 2     ? "CUDA_ERROR_OUT_OF_MEMORY"
            : error == 700 ? "CUDA_ERROR_ILLEGAL_ADDRESS"
                           : "CUDA_ERROR_UNKNOWN";
    return 0;
}
static CUresult device_count(int *count) { *count = 1; return 0; }
static CUresult device_get(CUdevice *device, int index) { *device = index; return index ? 101 : 0; }
static CUresult device_name(char *text, int count, CUdevice device) {
    snprintf(text, (size_t)count, "host");
    return 0;
}
static CUresult device_attribute(int *value, int attribute, CUdevice device) {
    switch (attribute) {
    case CCUDA_ATTR_CC_MAJOR: *value = 9; break;
    case CCUDA_ATTR_CC_MINOR: *value = 0; break;
    case CCUDA_ATTR_MP_COUNT: *value = 4; break;
    default: *value = 227 << 10;
    }
    return 0;
}
static CUresult total_memory(size_t *bytes, CUdevice device) { *bytes = 1ull << 30; return 0; }
static CUresult retain(CUcontext *context, CUdevice device) { *context = (CUcontext)8; return 0; }
static CUresult release(CUdevice device) { return 0; }
static CUresult set_current(CUcontext context) { return 0; }
static CUresult synchronize_context(void) { return 0; }
static CUresult memory_info(size_t *free_bytes, size_t *total) { *free_bytes = *total = 1ull << 30; return 0; }
static CUresult allocate(CUdeviceptr *address, size_t bytes) {
    void *memory = bytes < (1ull << 30) ? aligned_alloc(256, (bytes + 255) / 256 * 256) : NULL;
    // What nobody has written is no number.
    if (memory) { memset(memory, 0xFF, bytes); }
    *address = (CUdeviceptr)(uintptr_t)memory;
    return memory ? 0 : 2;
}
static CUresult release_memory(CUdeviceptr address) { free((void *)(uintptr_t)address); return 0; }
static CUresult host_allocate(void **address, size_t bytes, unsigned flags) { *address = malloc(bytes); return *address ? 0 : 2; }
static CUresult host_release(void *address) { free(address); return 0; }
static CUresult copy_bytes(void *to, const void *from, size_t bytes, CUstream stream) {
    operation o = {.kind = copy, .to = to, .from = from, .size = bytes};
    return submit(stream, &o);
}
static CUresult to_device(CUdeviceptr to, const void *from, size_t bytes, CUstream stream) {
    return copy_bytes((void *)(uintptr_t)to, from, bytes, stream);
}
static CUresult to_host(void *to, CUdeviceptr from, size_t bytes, CUstream stream) {
    return copy_bytes(to, (void *)(uintptr_t)from, bytes, stream);
}
static CUresult on_device(CUdeviceptr to, CUdeviceptr from, size_t bytes, CUstream stream) {
    return copy_bytes((void *)(uintptr_t)to, (void *)(uintptr_t)from, bytes, stream);
}
static CUresult set_bytes(CUdeviceptr to, unsigned char value, size_t bytes, CUstream stream) {
    operation o = {.kind = fill, .to = (void *)(uintptr_t)to, .value = value, .size = bytes};
    return submit(stream, &o);
}
static CUresult stream_create(CUstream *stream, unsigned flags) {
    *stream = calloc(1, sizeof **stream);
    return 0;
}
static CUresult stream_destroy(CUstream stream) { free(stream); return 0; }
static CUresult stream_synchronize(CUstream stream) { return stream->captures ? 900 : 0; }
static CUresult stream_wait(CUstream stream, CUevent event, unsigned flags) { return 0; }
static CUresult begin_capture(CUstream stream, int mode) {
    stream->first = NULL;
    stream->end = &stream->first;
    stream->captures = 1;
    return 0;
}
static CUresult end_capture(CUstream stream, CUgraph *graph) {
    *graph = calloc(1, sizeof **graph);
    (*graph)->first = stream->first;
    stream->captures = 0;
    return 0;
}
static CUresult instantiate(CUgraphExec *exec, CUgraph graph, unsigned long long flags) {
    *exec = calloc(1, sizeof **exec);
    (*exec)->first = graph->first;
    graph->first = NULL;
    return 0;
}
static CUresult graph_launch(CUgraphExec exec, CUstream stream) {
    CUresult result = 0;
    for (operation *o = exec->first; o && !result; o = o->next) { result = run(o); }
    return result;
}
static CUresult graph_destroy(CUgraph graph) { forget(graph->first); free(graph); return 0; }
static CUresult exec_destroy(CUgraphExec exec) { forget(exec->first); free(exec); return 0; }
static CUresult event_create(CUevent *event, unsigned flags) { *event = malloc(1); return 0; }
static CUresult event_record(CUevent event, CUstream stream) { return 0; }
static CUresult event_synchronize(CUevent event) { return 0; }
static CUresult event_elapsed(float *milliseconds, CUevent a, CUevent b) { *milliseconds = 0; return 0; }
static CUresult event_destroy(CUevent event) { free(event); return 0; }
static CUresult module_load(CUmodule *module, const void *image) {
    *module = calloc(1, sizeof **module);
    snprintf((*module)->image, sizeof (*module)->image, "%s", (const char *)image);
    return 0;
}
static CUresult module_unload(CUmodule module) { free(module); return 0; }
// Functions live as long as the process, as captured launches name them.
static CUresult module_function(CUfunction *function, CUmodule module, const char *name) {
    *function = calloc(1, sizeof **function);
    memcpy((*function)->image, module->image, sizeof module->image);
    snprintf((*function)->name, name_bytes, "%s", name);
    return 0;
}
static CUresult function_attribute(CUfunction function, int attribute, int value) { return 0; }
static CUresult occupancy(int *count, CUfunction function, int block, size_t shared) { *count = 1; return 0; }
static CUresult launch_kernel(
    CUfunction f, unsigned gx, unsigned gy, unsigned gz, unsigned bx, unsigned by, unsigned bz, unsigned shared,
    CUstream stream, void **arguments, void **extra) {
    operation o = {.kind = launch, .function = f, .grid = {gx, gy, gz}, .block = {bx, by, bz}, .size = shared};
    if (gx == 0 || gy == 0 || gz == 0 || gy > 65535 || gz > 65535 || bx * by * bz > 1024) { return 1; }
    while (o.count < most_arguments && arguments[o.count]) {
        o.arguments[o.count] = arguments[o.count];
        o.count++;
    }
    return submit(stream, &o);
}

void cuda_host_driver(ccuda_driver_api *out) {
    *out = (ccuda_driver_api){
        .init = init, .driverGetVersion = driver_version, .getErrorName = error_name, .getErrorString = error_name,
        .deviceGetCount = device_count, .deviceGet = device_get, .deviceGetName = device_name,
        .deviceGetAttribute = device_attribute, .deviceTotalMem = total_memory, .primaryCtxRetain = retain,
        .primaryCtxRelease = release, .ctxSetCurrent = set_current, .ctxSynchronize = synchronize_context,
        .memGetInfo = memory_info, .memAlloc = allocate, .memFree = release_memory, .memHostAlloc = host_allocate,
        .memFreeHost = host_release, .memcpyHtoDAsync = to_device, .memcpyDtoHAsync = to_host,
        .memcpyDtoDAsync = on_device, .memsetD8Async = set_bytes, .streamCreate = stream_create,
        .streamDestroy = stream_destroy, .streamSynchronize = stream_synchronize, .streamQuery = stream_synchronize,
        .streamWaitEvent = stream_wait, .streamBeginCapture = begin_capture, .streamEndCapture = end_capture,
        .graphInstantiate = instantiate, .graphLaunch = graph_launch, .graphDestroy = graph_destroy,
        .graphExecDestroy = exec_destroy, .eventCreate = event_create, .eventRecord = event_record,
        .eventSynchronize = event_synchronize, .eventElapsedTime = event_elapsed, .eventDestroy = event_destroy,
        .moduleLoadData = module_load, .moduleUnload = module_unload, .moduleGetFunction = module_function,
        .funcSetAttribute = function_attribute, .occupancy = occupancy, .launchKernel = launch_kernel,
    };
}
