#include "kernels.h"

#if defined(__aarch64__) && defined(__linux__)
#include <asm/hwcap.h>
#include <sys/auxv.h>
#endif

#define LLM_KERNELS(title, prefix, products, quantize)                                                    \
    {                                                                                                     \
        .name = title,                                                                                    \
        .dequantize_row = llm_scalar_dequantize_row,                                                      \
        .panel_bytes = llm_scalar_panel_bytes,                                                            \
        .pack_panel = llm_scalar_pack_panel,                                                              \
        .quantized_bytes = llm_scalar_quantized_bytes,                                                    \
        .quantize_rows = quantize##_quantize_rows,                                                        \
        .matmul = products##_matmul,                                                                      \
        .rms_norm = prefix##_rms_norm,                                                                    \
        .add_rms_norm = prefix##_add_rms_norm,                                                            \
        .layer_norm = prefix##_layer_norm,                                                                \
        .add = prefix##_add,                                                                              \
        .activate = prefix##_activate,                                                                    \
        .gated = prefix##_gated,                                                                          \
        .soft_cap = llm_scalar_soft_cap,                                                                  \
        .scale_columns = llm_scalar_scale_columns,                                                        \
        .scale_rows = llm_scalar_scale_rows,                                                              \
        .clamp_rows = llm_scalar_clamp_rows,                                                              \
        .clear_rows = llm_scalar_clear_rows,                                                              \
        .gather_rows = llm_scalar_gather_rows,                                                            \
        .add_scaled_rows = llm_scalar_add_scaled_rows,                                                    \
        .rotate = prefix##_rotate,                                                                        \
        .store_rows = prefix##_store_rows,                                                                \
        .spread_heads = llm_scalar_spread_heads,                                                          \
        .attention_scratch = llm_scalar_attention_scratch,                                                \
        .attend = products##_attend,                                                                      \
        .combine = llm_scalar_combine,                                                                    \
        .block_maxima = prefix##_block_maxima,                                                            \
        .sum_exp = prefix##_sum_exp,                                                                      \
        .collect = prefix##_collect,                                                                      \
        .find_largest = llm_scalar_find_largest,                                                          \
    }

const llm_kernels *llm_kernels_scalar(void) {
    static const llm_kernels kernels = LLM_KERNELS("scalar", llm_scalar, llm_scalar, llm_scalar);
    return &kernels;
}

#if defined(__x86_64__)
const llm_kernels *llm_kernels_avx2(void) {
    static const llm_kernels kernels = LLM_KERNELS("avx2", llm_avx2, llm_avx2, llm_avx2);
    bool supported = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") &&
                     __builtin_cpu_supports("f16c");
    return supported ? &kernels : NULL;
}

const llm_kernels *llm_kernels_avx512(void) {
    // What is bound by memory or takes little of the time runs as well with vectors of eight.
    static const llm_kernels kernels = LLM_KERNELS("avx512", llm_avx2, llm_avx512, llm_avx2);
    bool supported = llm_kernels_avx2() && __builtin_cpu_supports("avx512f") &&
                     __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq") &&
                     __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512vnni");
    return supported ? &kernels : NULL;
}
#else
const llm_kernels *llm_kernels_avx2(void) { return NULL; }
const llm_kernels *llm_kernels_avx512(void) { return NULL; }
#endif

#if defined(__aarch64__)
const llm_kernels *llm_kernels_neon(void) {
    static const llm_kernels kernels = LLM_KERNELS("neon", llm_scalar, llm_neon, llm_neon);
#if defined(__linux__)
    return getauxval(AT_HWCAP) & HWCAP_ASIMDDP ? &kernels : NULL;
#else
    return &kernels; // every Apple processor of this architecture that macOS still runs on has them
#endif
}
#else
const llm_kernels *llm_kernels_neon(void) { return NULL; }
#endif

const llm_kernels *llm_kernels_best(void) {
    const llm_kernels *tables[] = {llm_kernels_avx512(), llm_kernels_avx2(), llm_kernels_neon()};
    for (size_t i = 0; i < sizeof tables / sizeof *tables; i++) {
        if (tables[i]) { return tables[i]; }
    }
    return llm_kernels_scalar();
}
