// Included once for each width, with WIDTH, NAMES and TILES_LAUNCH defined. Every width has kernels of the same names, so these
// are renamed.
#include "tiles.h"

#define JOIN_(a, b) a##b
#define JOIN(a, b) JOIN_(a, b)
#define attend_tiles_bf16_1 JOIN(bf16_1_, NAMES)
#define attend_tiles_bf16_4 JOIN(bf16_4_, NAMES)
#define attend_tiles_f16_1 JOIN(f16_1_, NAMES)
#define attend_tiles_f16_4 JOIN(f16_4_, NAMES)
#define attend_tiles_i8_1 JOIN(i8_1_, NAMES)
#define attend_tiles_i8_4 JOIN(i8_4_, NAMES)
#include "../../Sources/CCUDAKernels/cu/attention_tiles.cu"

int TILES_LAUNCH(const char *name, cuda_host::Dim g, cuda_host::Dim b, size_t shared, void **arguments) {
#define KERNEL(kernel, text) \
    if (!strcmp(name, text)) { \
        cuda_host::launch(kernel, g, b, shared, arguments); \
        return 0; \
    }
    KERNEL(attend_tiles_bf16_1, "attend_tiles_bf16_1") KERNEL(attend_tiles_bf16_4, "attend_tiles_bf16_4")
    KERNEL(attend_tiles_f16_1, "attend_tiles_f16_1") KERNEL(attend_tiles_f16_4, "attend_tiles_f16_4")
    KERNEL(attend_tiles_i8_1, "attend_tiles_i8_1") KERNEL(attend_tiles_i8_4, "attend_tiles_i8_4")
    return 500;
}
