#pragma clang diagnostic ignored "-Wpass-failed"
#define CUDA_HOST_SHIM
#define WIDTH 96
#define VALUES 64
#include "tiles.h"

#include "../../Sources/CCUDAKernels/cu/attention_latent.cu"

int latent_launch(const char *name, cuda_host::Dim g, cuda_host::Dim b, size_t shared, void **arguments) {
#define KERNEL(kernel) \
    if (!strcmp(name, #kernel)) { \
        cuda_host::launch(kernel, g, b, shared, arguments); \
        return 0; \
    }
    KERNEL(attend_latent_bf16_16) KERNEL(attend_latent_bf16_32) KERNEL(attend_latent_f16_16) KERNEL(attend_latent_f16_32)
    return 500;
}
