#if defined(__aarch64__)

#include "neon.h"

#pragma STDC FP_CONTRACT OFF
#pragma clang attribute push(__attribute__((target("dotprod"))), apply_to = function)

/// Input `index` of four outputs of a panel, from output `4 * quarter` on.
LLM_TEMPLATE float32x4_t
load_weights(llm_encoding encoding, const uint8_t *panel, size_t index, int quarter) {
    llm_element element = encoding == LLM_F32   ? LLM_ELEMENT_F32
                          : encoding == LLM_F16 ? LLM_ELEMENT_F16
                                                : LLM_ELEMENT_BF16;
    return neon_elements(element, panel, index * LLM_PANEL + 4 * (size_t)quarter);
}

/// `rows` rows from `row` on times `panels` panels from `panel` on. Few rows take more panels, so that enough
/// sums run side by side.
LLM_TEMPLATE void multiply_rows(
    llm_encoding encoding, int rows, int panels, bool fetches, const llm_matmul *p, size_t panel,
    size_t row) {
    const size_t bytes = llm_panel_bytes(encoding, p->inputs);
    const uint8_t *weights = (const uint8_t *)p->weights + panel * bytes;
    const float *x = (const float *)p->x + row * p->x_stride;
    const int vectors = LLM_QUARTERS * panels;
    float32x4_t sums[rows * vectors];
    LLM_UNROLL for (int k = 0; k < rows * vectors; k++) { sums[k] = vdupq_n_f32(0); }
    for (size_t i = 0; i < p->inputs; i++) {
        if (fetches) { llm_prefetch_input(encoding, panels, bytes, weights, i); }
        LLM_UNROLL for (int k = 0; k < vectors; k++) {
            const uint8_t *start = weights + (size_t)(k / LLM_QUARTERS) * bytes;
            const float32x4_t w = load_weights(encoding, start, i, k % LLM_QUARTERS);
            LLM_UNROLL for (int r = 0; r < rows; r++) {
                const float number = x[(size_t)r * p->x_stride + i];
                sums[r * vectors + k] = vfmaq_n_f32(sums[r * vectors + k], w, number);
            }
        }
    }
    for (int r = 0; r < rows; r++) {
        for (int k = 0; k < panels; k++) {
            const float32x4_t *of_panel = sums + r * vectors + LLM_QUARTERS * k;
            neon_store_outputs(p, panel + (size_t)k, row + (size_t)r, of_panel);
        }
    }
}

#define LLM_ROWS_AND_PANELS(take) take(6, 1) take(2, 2) take(1, 4)

#include "matmul_floats.h"

void llm_neon_matmul(const llm_matmul *p) {
    if (!multiply_floats(p)) { llm_neon_matmul_blocks(p); }
}

#pragma clang attribute pop

#else

typedef int llm_neon_matmul_is_empty;

#endif
