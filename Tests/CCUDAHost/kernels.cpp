#pragma clang diagnostic ignored "-Wpass-failed"
// The sources that run on the device, as C++ of the host, and their kernels by name.
#define CUDA_HOST_SHIM
#include "cuda_host_shim.h"

#include "../../Sources/CCUDAKernels/cu/rows.cu"
#include "../../Sources/CCUDAKernels/cu/gemm.cu"
#include "blocks.h"
#include "experts.h"
#include "groups.h"
#include "../../Sources/CCUDAKernels/cu/experts.cu"
#include "../../Sources/CCUDAKernels/cu/cache.cu"
#include "../../Sources/CCUDAKernels/cu/attention.cu"
#include "../../Sources/CCUDAKernels/cu/sampling.cu"
#include "CCUDAHost.h"
#include "tiles.h"

using namespace cuda_host;

#define KERNEL(kernel) \
    if (!strcmp(name, #kernel)) { \
        launch(kernel, g, b, shared, arguments); \
        return 0; \
    }
#define FOR_TYPES(kernel) KERNEL(kernel##float) KERNEL(kernel##bf16) KERNEL(kernel##f16)
#define GEMM_SHAPES(T) \
    KERNEL(gemm_##T##_16x64) KERNEL(gemm_##T##_32x64) KERNEL(gemm_##T##_64x64) KERNEL(gemm_##T##_128x128) \
    KERNEL(gemm_##T##_128x256)

extern "C" int cuda_host_launch(
    const char *image, const char *name, const unsigned grid[3], const unsigned block[3], size_t shared, void **arguments) {
    const Dim g = {grid[0], grid[1], grid[2]}, b = {block[0], block[1], block[2]};
    if (strstr(image, "attention_latent.cu WIDTH=96 VALUES=64")) return latent_launch(name, g, b, shared, arguments);
    if (strstr(image, "SCORES")) return tiles_launch_scores(name, g, b, shared, arguments);
    if (strstr(image, "WIDTH=16")) return tiles_launch_16(name, g, b, shared, arguments);
    if (strstr(image, "WIDTH=64")) return tiles_launch_64(name, g, b, shared, arguments);
    if (strstr(image, "EXPERTS")) return experts_launch(name, g, b, shared, arguments);
    if (strstr(image, "FORMAT")) return blocks_launch(name, g, b, shared, arguments);
    if (!strncmp(name, "group_", 6)) return groups_launch(name, g, b, shared, arguments);
    FOR_TYPES(embed_)
    KERNEL(gather_rows) KERNEL(add_rows) KERNEL(pack_rows) KERNEL(rms_norm) KERNEL(gated) KERNEL(rotation_table)
    KERNEL(fill_random) KERNEL(copy_words) KERNEL(add_bias) KERNEL(hash_rows)
    KERNEL(layer_norm) KERNEL(normalize_heads) KERNEL(map_rows)
    KERNEL(route_rows) KERNEL(sort_choices) KERNEL(cut_tiles) KERNEL(mix_rows)
    GEMM_SHAPES(bf16) GEMM_SHAPES(f16) KERNEL(gemm_reduce) KERNEL(gemm_float)
    FOR_TYPES(rotate_store_) KERNEL(rotate_store_i8) KERNEL(rotate)
    FOR_TYPES(attend_) KERNEL(attend_i8) KERNEL(merge_states)
    KERNEL(edit_logits) KERNEL(mask_logits) KERNEL(answer_questions)
    return 500;
}
