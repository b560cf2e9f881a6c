#define _GNU_SOURCE
#include "CCUDA.h"
#include <dlfcn.h>
#include <stdio.h>
#include <string.h>

char *ccuda_open(const char *path, void **handle) {
  *handle = dlopen(path, RTLD_NOW | RTLD_LOCAL);
  if (*handle) return NULL;
  const char *e = dlerror();
  return strdup(e ? e : "dlopen failed");
}
const char *ccuda_symbol_file(const void *symbol) {
  Dl_info i;
  return dladdr(symbol, &i) ? i.dli_fname : NULL;
}
static char *missing(const char *sym) {
  char *s = NULL;
  return asprintf(&s, "missing symbol %s", sym) < 0 ? strdup("missing symbol") : s;
}
#define LOAD(field, symbol, ret, args) \
  if (!(*(void **)&out->field = dlsym(h, #symbol))) return missing(#symbol);
char *ccuda_resolve_driver(void *h, ccuda_driver_api *out) { CCUDA_DRIVER(LOAD) return NULL; }
char *ccuda_resolve_nvrtc(void *h, ccuda_nvrtc_api *out) { CCUDA_NVRTC(LOAD) return NULL; }
char *ccuda_resolve_cublaslt(void *h, ccuda_cublaslt_api *out) { CCUDA_CUBLASLT(LOAD) return NULL; }
char *ccuda_resolve_nccl(void *h, ccuda_nccl_api *out) { CCUDA_NCCL(LOAD) return NULL; }
