#include "CCUDA.h"
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// A driver that does nothing: addresses are numbers, kernels and copies take no time, and what comes back is zero. With it
// a backend can be asked how much memory it would take.

static CUresult init(unsigned flags) { (void)flags; return 0; }
static CUresult driver_version(int *version) { *version = 13000; return 0; }
static CUresult error_text(CUresult error, const char **text) { (void)error; *text = "no error"; return 0; }
static CUresult device_count(int *count) { *count = 1; return 0; }
static CUresult device_get(CUdevice *device, int index) { *device = index; return 0; }
static CUresult device_name(char *text, int count, CUdevice device) {
  (void)device;
  snprintf(text, (size_t)count, "none");
  return 0;
}
// As those of an H100.
static CUresult device_attribute(int *value, int attribute, CUdevice device) {
  (void)device;
  *value = attribute == CCUDA_ATTR_CC_MAJOR ? 9 : attribute == CCUDA_ATTR_CC_MINOR ? 0 : attribute == CCUDA_ATTR_MP_COUNT ? 132
         : attribute == CCUDA_ATTR_SMEM_OPTIN ? 227 << 10 : 50 << 20;
  return 0;
}
static CUresult total_memory(size_t *bytes, CUdevice device) { (void)device; *bytes = (size_t)1 << 60; return 0; }
static CUresult retain(CUcontext *context, CUdevice device) { (void)device; *context = NULL; return 0; }
static CUresult release(CUdevice device) { (void)device; return 0; }
static CUresult set_current(CUcontext context) { (void)context; return 0; }
static CUresult synchronize_context(void) { return 0; }
static CUresult memory_info(size_t *unused, size_t *total) { *unused = *total = (size_t)1 << 60; return 0; }
// Nobody reads or writes there.
static CUresult allocate(CUdeviceptr *address, size_t bytes) {
  static _Atomic CUdeviceptr next = (CUdeviceptr)1 << 40;
  *address = atomic_fetch_add(&next, (bytes + 4095) / 4096 * 4096);
  return 0;
}
static CUresult release_memory(CUdeviceptr address) { (void)address; return 0; }
static CUresult host_allocate(void **address, size_t bytes, unsigned flags) {
  (void)flags;
  *address = malloc(bytes);
  return *address ? 0 : 2;
}
static CUresult host_release(void *address) { free(address); return 0; }
static CUresult to_device(CUdeviceptr to, const void *from, size_t bytes, CUstream stream) {
  (void)to, (void)from, (void)bytes, (void)stream;
  return 0;
}
static CUresult to_host(void *to, CUdeviceptr from, size_t bytes, CUstream stream) {
  (void)from, (void)stream;
  memset(to, 0, bytes);
  return 0;
}
static CUresult on_device(CUdeviceptr to, CUdeviceptr from, size_t bytes, CUstream stream) {
  (void)to, (void)from, (void)bytes, (void)stream;
  return 0;
}
static CUresult fill(CUdeviceptr to, unsigned char value, size_t bytes, CUstream stream) {
  (void)to, (void)value, (void)bytes, (void)stream;
  return 0;
}
static CUresult stream_create(CUstream *stream, unsigned flags) { (void)flags; *stream = NULL; return 0; }
static CUresult of_stream(CUstream stream) { (void)stream; return 0; }
static CUresult module_load(CUmodule *module, const void *image) { (void)image; *module = NULL; return 0; }
static CUresult module_unload(CUmodule module) { (void)module; return 0; }
static CUresult module_function(CUfunction *function, CUmodule module, const char *name) {
  (void)module, (void)name;
  *function = NULL;
  return 0;
}
static CUresult function_attribute(CUfunction function, int attribute, int value) {
  (void)function, (void)attribute, (void)value;
  return 0;
}
static CUresult occupancy(int *count, CUfunction function, int block, size_t shared) {
  (void)function, (void)block, (void)shared;
  *count = 1;
  return 0;
}
static CUresult launch(
    CUfunction f, unsigned gx, unsigned gy, unsigned gz, unsigned bx, unsigned by, unsigned bz, unsigned shared,
    CUstream stream, void **arguments, void **extra) {
  (void)f, (void)gx, (void)gy, (void)gz, (void)bx, (void)by, (void)bz, (void)shared, (void)stream, (void)arguments, (void)extra;
  return 0;
}
// Work is neither captured nor timed.
static CUresult unsupported(void) { return 801; }
#define UNSUPPORTED(field) .field = (__typeof__(((ccuda_driver_api *)0)->field))(void (*)(void))unsupported

void ccuda_idle_driver(ccuda_driver_api *out) {
  *out = (ccuda_driver_api){
      .init = init, .driverGetVersion = driver_version, .getErrorName = error_text, .getErrorString = error_text,
      .deviceGetCount = device_count, .deviceGet = device_get, .deviceGetName = device_name,
      .deviceGetAttribute = device_attribute, .deviceTotalMem = total_memory, .primaryCtxRetain = retain,
      .primaryCtxRelease = release, .ctxSetCurrent = set_current, .ctxSynchronize = synchronize_context,
      .memGetInfo = memory_info, .memAlloc = allocate, .memFree = release_memory, .memHostAlloc = host_allocate,
      .memFreeHost = host_release, .memcpyHtoDAsync = to_device, .memcpyDtoHAsync = to_host,
      .memcpyDtoDAsync = on_device, .memsetD8Async = fill, .streamCreate = stream_create, .streamDestroy = of_stream,
      .streamSynchronize = of_stream, .streamQuery = of_stream, UNSUPPORTED(streamWaitEvent),
      UNSUPPORTED(graphCreate), UNSUPPORTED(graphAddKernelNode), UNSUPPORTED(graphExecKernelNodeSetParams),
      UNSUPPORTED(graphInstantiate),
      UNSUPPORTED(graphLaunch), UNSUPPORTED(graphDestroy), UNSUPPORTED(graphExecDestroy), UNSUPPORTED(eventCreate),
      UNSUPPORTED(eventRecord), UNSUPPORTED(eventSynchronize), UNSUPPORTED(eventElapsedTime), UNSUPPORTED(eventDestroy),
      .moduleLoadData = module_load, .moduleUnload = module_unload, .moduleGetFunction = module_function,
      .funcSetAttribute = function_attribute, .occupancy = occupancy, .launchKernel = launch,
  };
}
