#include "kernels.h"

#define LLM_KERNELS(title, prefix)                                                                        \
    {                                                                                                     \
        .name = title,                                                                                    \
        .dequantize_row = llm_scalar_dequantize_row,                                                      \
        .quantized_row_bytes = llm_scalar_quantized_row_bytes,                                            \
        .quantize_rows = prefix##_quantize_rows,                                                          \
        .matmul = prefix##_matmul,                                                                        \
        .rms_norm = prefix##_rms_norm,                                                                    \
        .add_rms_norm = prefix##_add_rms_norm,                                                            \
        .layer_norm = prefix##_layer_norm,                                                                \
        .add = prefix##_add,                                                                              \
        .activate = prefix##_activate,                                                                    \
        .gated = prefix##_gated,                                                                          \
        .rotate = prefix##_rotate,                                                                        \
        .store_rows = prefix##_store_rows,                                                                \
        .attend = prefix##_attend,                                                                        \
        .arg_max = prefix##_arg_max,                                                                      \
        .log_sum_exp = prefix##_log_sum_exp,                                                              \
    }

const llm_kernels *llm_kernels_scalar(void) {
    static const llm_kernels kernels = LLM_KERNELS("scalar", llm_scalar);
    return &kernels;
}

#if defined(__x86_64__)
const llm_kernels *llm_kernels_avx2(void) {
    static const llm_kernels kernels = LLM_KERNELS("avx2", llm_avx2);
    bool supported = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") &&
                     __builtin_cpu_supports("f16c");
    return supported ? &kernels : NULL;
}
#else
const llm_kernels *llm_kernels_avx2(void) { return NULL; }
#endif

const llm_kernels *llm_kernels_best(void) {
    const llm_kernels *avx2 = llm_kernels_avx2();
    return avx2 ? avx2 : llm_kernels_scalar();
}
