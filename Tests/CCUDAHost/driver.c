#include "CCUDAHost.h"
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { most_arguments = 40, name_bytes = 64, most_pinned = 64 };

// Something that was enqueued: a launch, a copy, or a fill.
typedef struct operation {
    struct operation *next;
    enum { launch, copy, fill } kind;
    struct ccuda_func *function;
    unsigned grid[3], block[3];
    size_t size; // of shared memory, or bytes
    void *to;
    const void *from;
    void *kept; // where `from` was copied to
    unsigned char value, is_on_device, is_to_host;
    int count;
    void *arguments[most_arguments];
    uint64_t words[most_arguments];
} operation;

struct ccuda_module { char image[2 * name_bytes]; };
struct ccuda_func { char image[2 * name_bytes], name[name_bytes]; };
// A late stream keeps what is enqueued until somebody waits for it.
struct ccuda_stream { operation *first, **end; int is_late; long enqueued, done; CUresult error; struct ccuda_stream *next; };
struct ccuda_event { CUstream stream; long place; };
struct ccuda_graphnode { struct ccuda_graph *graph; int index; operation work; };
struct ccuda_graph { int count; CUgraphNode *nodes; };
struct ccuda_graphexec { int count; operation *work; };

static __thread cuda_host_counts counts;
cuda_host_counts cuda_host_counted(void) { return counts; }

// Late streams, which memory that is given back must not outlive, and the memory that they may read later.
static struct {
    pthread_mutex_t lock;
    struct ccuda_stream *first;
    struct { char *start; size_t bytes; } pinned[most_pinned];
} late;
static pthread_once_t late_once = PTHREAD_ONCE_INIT;
static void late_init(void) {
    pthread_mutexattr_t attributes;
    pthread_mutexattr_init(&attributes);
    pthread_mutexattr_settype(&attributes, PTHREAD_MUTEX_RECURSIVE);
    pthread_mutex_init(&late.lock, &attributes);
}

static CUresult run(operation *o) {
    switch (o->kind) {
    case copy: memcpy(o->to, o->from, o->size); return 0;
    case fill: memset(o->to, o->value, o->size); return 0;
    default: return cuda_host_launch(o->function->image, o->function->name, o->grid, o->block, o->size, o->arguments);
    }
}

// Arguments as they are now.
static void keep_arguments(operation *kept, const operation *o) {
    *kept = *o;
    for (int i = 0; i < o->count; i++) {
        memcpy(&kept->words[i], o->arguments[i], 8);
        kept->arguments[i] = &kept->words[i];
    }
}

static int is_pinned(const void *address) {
    for (int i = 0; i < most_pinned; i++) {
        const char *start = late.pinned[i].start;
        if (start && (const char *)address >= start && (const char *)address < start + late.pinned[i].bytes) { return 1; }
    }
    return 0;
}

// Does what was enqueued up to a place.
static CUresult run_until(CUstream stream, long place) {
    if (!stream || !stream->is_late) { return 0; }
    pthread_mutex_lock(&late.lock);
    while (stream->done < place && stream->first) {
        operation *o = stream->first;
        stream->first = o->next;
        if (!stream->first) { stream->end = &stream->first; }
        CUresult result = run(o);
        if (!stream->error) { stream->error = result; }
        stream->done++;
        free(o->kept);
        free(o);
    }
    CUresult error = stream->error;
    pthread_mutex_unlock(&late.lock);
    return error;
}

static CUresult submit(CUstream stream, const operation *o) {
    if (!stream || !stream->is_late) { return run((operation *)o); }
    pthread_mutex_lock(&late.lock);
    operation *kept = malloc(sizeof *kept);
    keep_arguments(kept, o);
    kept->kept = NULL;
    kept->next = NULL;
    *stream->end = kept;
    stream->end = &kept->next;
    stream->enqueued++;
    if (o->kind == copy && !o->is_on_device && !is_pinned(o->from) && !is_pinned(o->to)) {
        // What is not pinned has been read, or written, when the call returns.
        if (o->is_to_host) {
            run_until(stream, stream->enqueued);
        } else {
            kept->kept = malloc(o->size);
            memcpy(kept->kept, o->from, o->size);
            kept->from = kept->kept;
        }
    }
    pthread_mutex_unlock(&late.lock);
    return 0;
}

static int is_valid(const operation *o) {
    const unsigned *g = o->grid, *b = o->block;
    return g[0] && g[1] && g[2] && g[1] <= 65535 && g[2] <= 65535 && b[0] * b[1] * b[2] <= 1024;
}

static void take_arguments(operation *o, void **arguments) {
    while (o->count < most_arguments && arguments[o->count]) {
        o->arguments[o->count] = arguments[o->count];
        o->count++;
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
// As the driver does, after all that may still use it.
static void finish_all(void) {
    pthread_once(&late_once, late_init);
    pthread_mutex_lock(&late.lock);
    for (CUstream stream = late.first; stream; stream = stream->next) { run_until(stream, stream->enqueued); }
    pthread_mutex_unlock(&late.lock);
}
static CUresult release_memory(CUdeviceptr address) {
    finish_all();
    free((void *)(uintptr_t)address);
    return 0;
}
static CUresult host_allocate(void **address, size_t bytes, unsigned flags) {
    *address = malloc(bytes);
    pthread_once(&late_once, late_init);
    pthread_mutex_lock(&late.lock);
    for (int i = 0; i < most_pinned; i++) {
        if (late.pinned[i].start) { continue; }
        late.pinned[i].start = *address;
        late.pinned[i].bytes = bytes;
        break;
    }
    pthread_mutex_unlock(&late.lock);
    return *address ? 0 : 2;
}
static CUresult host_release(void *address) {
    finish_all();
    pthread_mutex_lock(&late.lock);
    for (int i = 0; i < most_pinned; i++) {
        if (late.pinned[i].start == address) { late.pinned[i].start = NULL; }
    }
    pthread_mutex_unlock(&late.lock);
    free(address);
    return 0;
}
static CUresult copy_bytes(operation o, void *to, const void *from, size_t bytes, CUstream stream) {
    o.kind = copy;
    o.to = to;
    o.from = from;
    o.size = bytes;
    return submit(stream, &o);
}
static CUresult to_device(CUdeviceptr to, const void *from, size_t bytes, CUstream stream) {
    counts.uploads++;
    return copy_bytes((operation){0}, (void *)(uintptr_t)to, from, bytes, stream);
}
static CUresult to_host(void *to, CUdeviceptr from, size_t bytes, CUstream stream) {
    return copy_bytes((operation){.is_to_host = 1}, to, (void *)(uintptr_t)from, bytes, stream);
}
static CUresult on_device(CUdeviceptr to, CUdeviceptr from, size_t bytes, CUstream stream) {
    return copy_bytes(
        (operation){.is_on_device = 1}, (void *)(uintptr_t)to, (void *)(uintptr_t)from, bytes, stream);
}
static CUresult set_bytes(CUdeviceptr to, unsigned char value, size_t bytes, CUstream stream) {
    operation o = {.kind = fill, .to = (void *)(uintptr_t)to, .value = value, .size = bytes};
    return submit(stream, &o);
}
static CUresult stream_create(CUstream *stream, unsigned flags) {
    *stream = calloc(1, sizeof **stream);
    (*stream)->end = &(*stream)->first;
    return 0;
}
static CUresult late_stream_create(CUstream *stream, unsigned flags) {
    stream_create(stream, flags);
    (*stream)->is_late = 1;
    pthread_once(&late_once, late_init);
    pthread_mutex_lock(&late.lock);
    (*stream)->next = late.first;
    late.first = *stream;
    pthread_mutex_unlock(&late.lock);
    return 0;
}
static CUresult stream_destroy(CUstream stream) {
    finish_all();
    pthread_mutex_lock(&late.lock);
    for (struct ccuda_stream **place = &late.first; *place; place = &(*place)->next) {
        if (*place != stream) { continue; }
        *place = stream->next;
        break;
    }
    pthread_mutex_unlock(&late.lock);
    free(stream);
    return 0;
}
static CUresult stream_synchronize(CUstream stream) {
    counts.waits++;
    return run_until(stream, stream->enqueued);
}
static CUresult stream_query(CUstream stream) { return stream->done < stream->enqueued && stream->is_late ? 600 : 0; }
static CUresult stream_wait(CUstream stream, CUevent event, unsigned flags) { return 0; }
static CUresult graph_create(CUgraph *graph, unsigned flags) {
    *graph = calloc(1, sizeof **graph);
    return 0;
}
static CUresult node_work(operation *work, const CUDA_KERNEL_NODE_PARAMS *p) {
    operation o = {
        .kind = launch, .function = p->func, .grid = {p->gridDimX, p->gridDimY, p->gridDimZ},
        .block = {p->blockDimX, p->blockDimY, p->blockDimZ}, .size = p->sharedMemBytes,
    };
    if (!is_valid(&o)) { return 1; }
    take_arguments(&o, p->kernelParams);
    keep_arguments(work, &o);
    return 0;
}
// Nodes form a chain, so that they run in the order in which they were added.
static CUresult add_node(
    CUgraphNode *node, CUgraph graph, const CUgraphNode *after, size_t count, const CUDA_KERNEL_NODE_PARAMS *p) {
    if (count != (graph->count > 0) || (count && *after != graph->nodes[graph->count - 1])) { return 1; }
    *node = calloc(1, sizeof **node);
    (*node)->graph = graph;
    (*node)->index = graph->count++;
    graph->nodes = realloc(graph->nodes, (size_t)graph->count * sizeof *graph->nodes);
    graph->nodes[(*node)->index] = *node;
    return node_work(&(*node)->work, p);
}
static CUresult instantiate(CUgraphExec *exec, CUgraph graph, unsigned long long flags) {
    counts.graphs++;
    *exec = calloc(1, sizeof **exec);
    (*exec)->count = graph->count;
    (*exec)->work = calloc((size_t)graph->count, sizeof(operation));
    for (int i = 0; i < graph->count; i++) { keep_arguments(&(*exec)->work[i], &graph->nodes[i]->work); }
    return 0;
}
static CUresult set_node(CUgraphExec exec, CUgraphNode node, const CUDA_KERNEL_NODE_PARAMS *p) {
    counts.changes++;
    if (node->index >= exec->count || exec->work[node->index].function != p->func) { return 1; }
    return node_work(&exec->work[node->index], p);
}
static CUresult graph_launch(CUgraphExec exec, CUstream stream) {
    counts.graph_launches++;
    CUresult result = 0;
    for (int i = 0; i < exec->count && !result; i++) { result = submit(stream, &exec->work[i]); }
    return result;
}
static CUresult graph_destroy(CUgraph graph) {
    for (int i = 0; i < graph->count; i++) { free(graph->nodes[i]); }
    free(graph->nodes);
    free(graph);
    return 0;
}
static CUresult exec_destroy(CUgraphExec exec) {
    free(exec->work);
    free(exec);
    return 0;
}
static CUresult event_create(CUevent *event, unsigned flags) {
    *event = calloc(1, sizeof **event);
    return 0;
}
static CUresult event_record(CUevent event, CUstream stream) {
    event->stream = stream;
    event->place = stream->enqueued;
    return 0;
}
static CUresult event_synchronize(CUevent event) {
    counts.waits++;
    return run_until(event->stream, event->place);
}
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
    if (!is_valid(&o)) { return 1; }
    counts.launches++;
    take_arguments(&o, arguments);
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
        .streamDestroy = stream_destroy, .streamSynchronize = stream_synchronize, .streamQuery = stream_query,
        .streamWaitEvent = stream_wait, .graphCreate = graph_create, .graphAddKernelNode = add_node,
        .graphInstantiate = instantiate, .graphExecKernelNodeSetParams = set_node, .graphLaunch = graph_launch, .graphDestroy = graph_destroy,
        .graphExecDestroy = exec_destroy, .eventCreate = event_create, .eventRecord = event_record,
        .eventSynchronize = event_synchronize, .eventElapsedTime = event_elapsed, .eventDestroy = event_destroy,
        .moduleLoadData = module_load, .moduleUnload = module_unload, .moduleGetFunction = module_function,
        .funcSetAttribute = function_attribute, .occupancy = occupancy, .launchKernel = launch_kernel,
    };
}

void cuda_host_late_driver(ccuda_driver_api *out) {
    cuda_host_driver(out);
    out->streamCreate = late_stream_create;
}

static CUresult refuse(CUgraphExec *exec, CUgraph graph, unsigned long long flags) { return 2; }

void cuda_host_driver_without_graphs(ccuda_driver_api *out) {
    cuda_host_driver(out);
    out->graphInstantiate = refuse;
}
