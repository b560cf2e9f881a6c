#pragma clang diagnostic ignored "-Wc23-extensions" // #embed
#include "CCUDAKernels.h"

static const char common[] = {
#embed "cu/common.cuh" suffix(, 0)
};
static const char rows[] = {
#embed "cu/rows.cu" suffix(, 0)
};
static const char products[] = {
#embed "cu/products.cuh" suffix(, 0)
};
static const char experts[] = {
#embed "cu/experts.cu" suffix(, 0)
};
static const char gemm[] = {
#embed "cu/gemm.cu" suffix(, 0)
};
static const char groups[] = {
#embed "cu/groups.cuh" suffix(, 0)
};
static const char gemm_groups[] = {
#embed "cu/gemm_groups.cu" suffix(, 0)
};
static const char blocks[] = {
#embed "cu/blocks.cuh" suffix(, 0)
};
static const char gemm_blocks[] = {
#embed "cu/gemm_blocks.cu" suffix(, 0)
};
static const char cache[] = {
#embed "cu/cache.cu" suffix(, 0)
};
static const char attention_header[] = {
#embed "cu/attention.cuh" suffix(, 0)
};
static const char attention[] = {
#embed "cu/attention.cu" suffix(, 0)
};
static const char attention_tiles[] = {
#embed "cu/attention_tiles.cu" suffix(, 0)
};
static const char nucleus[] = {
#embed "cu/nucleus.cuh" suffix(, 0)
};
static const char attention_latent[] = {
#embed "cu/attention_latent.cu" suffix(, 0)
};
static const char sampling[] = {
#embed "cu/sampling.cu" suffix(, 0)
};

#define SOURCE(name, text) {name, text, sizeof text - 1}
static const ccudakernels_source all[] = {
    SOURCE("common.cuh", common), SOURCE("rows.cu", rows), SOURCE("products.cuh", products), SOURCE("gemm.cu", gemm),
    SOURCE("experts.cu", experts), SOURCE("groups.cuh", groups), SOURCE("gemm_groups.cu", gemm_groups), SOURCE("blocks.cuh", blocks), SOURCE("gemm_blocks.cu", gemm_blocks),
    SOURCE("cache.cu", cache),
    SOURCE("attention.cuh", attention_header), SOURCE("attention.cu", attention),
    SOURCE("attention_tiles.cu", attention_tiles), SOURCE("attention_latent.cu", attention_latent), SOURCE("nucleus.cuh", nucleus),
    SOURCE("sampling.cu", sampling),
};

const ccudakernels_source *ccudakernels_sources(size_t *count) {
    *count = sizeof all / sizeof *all;
    return all;
}
