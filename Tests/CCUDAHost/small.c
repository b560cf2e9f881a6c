#include "CCUDAHost.h"
#include <pthread.h>

// A device with little memory, of which it counts what is taken.
enum { most_pieces = 1024 };
static ccuda_driver_api large;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct { CUdeviceptr start; size_t bytes; } pieces[most_pieces];
static size_t taken, limit;

static CUresult allocate(CUdeviceptr *address, size_t bytes) {
    pthread_mutex_lock(&lock);
    CUresult result = taken + bytes > limit ? 2 : large.memAlloc(address, bytes);
    for (int i = 0; !result && i < most_pieces; i++) {
        if (pieces[i].start) { continue; }
        pieces[i].start = *address;
        pieces[i].bytes = bytes;
        taken += bytes;
        break;
    }
    pthread_mutex_unlock(&lock);
    return result;
}

static CUresult release(CUdeviceptr address) {
    pthread_mutex_lock(&lock);
    for (int i = 0; i < most_pieces; i++) {
        if (pieces[i].start != address) { continue; }
        pieces[i].start = 0;
        taken -= pieces[i].bytes;
    }
    pthread_mutex_unlock(&lock);
    return large.memFree(address);
}

void cuda_host_small_driver(ccuda_driver_api *out, size_t bytes) {
    cuda_host_driver(&large);
    taken = 0;
    limit = bytes;
    *out = large;
    out->memAlloc = allocate;
    out->memFree = release;
}
