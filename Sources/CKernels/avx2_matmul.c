#if defined(__x86_64__)

#include "avx2.h"
#include "panels.h"

#pragma STDC FP_CONTRACT OFF
#pragma clang attribute push(__attribute__((target("avx2,fma,f16c"))), apply_to = function)

/// Input `index` of eight outputs of a panel, from output `8 * half` on.
LLM_TEMPLATE __m256 load_weights(llm_encoding encoding, const uint8_t *panel, size_t index, int half) {
    const size_t element = index * LLM_PANEL + 8 * (size_t)half;
    const uint8_t *start = panel + element * llm_block_bytes(encoding);
    if (encoding == LLM_F32) { return _mm256_loadu_ps((const void *)start); }
    __m128i halves = _mm_loadu_si128((const void *)start);
    return encoding == LLM_F16 ? _mm256_cvtph_ps(halves) : avx2_of_bf16(halves);
}

/// `rows` rows from `row` on times `panels` panels from `panel` on. Few rows take more panels, so that enough
/// sums run side by side.
LLM_TEMPLATE void multiply_rows(
    llm_encoding encoding, int rows, int panels, bool fetches, const llm_matmul *p, size_t panel,
    size_t row) {
    const size_t bytes = llm_panel_bytes(encoding, p->inputs);
    const uint8_t *weights = (const uint8_t *)p->weights + panel * bytes;
    const float *x = (const float *)p->x + row * p->x_stride;
    const int vectors = 2 * panels;
    __m256 sums[rows * vectors];
    LLM_UNROLL for (int k = 0; k < rows * vectors; k++) { sums[k] = _mm256_setzero_ps(); }
    for (size_t i = 0; i < p->inputs; i++) {
        if (fetches) { llm_prefetch_input(encoding, panels, bytes, weights, i); }
        __m256 w[vectors];
        LLM_UNROLL for (int k = 0; k < vectors; k++) {
            w[k] = load_weights(encoding, weights + (size_t)(k / 2) * bytes, i, k % 2);
        }
        LLM_UNROLL for (int r = 0; r < rows; r++) {
            __m256 number = _mm256_broadcast_ss(x + (size_t)r * p->x_stride + i);
            LLM_UNROLL for (int k = 0; k < vectors; k++) {
                sums[r * vectors + k] = _mm256_fmadd_ps(w[k], number, sums[r * vectors + k]);
            }
        }
    }
    for (int r = 0; r < rows; r++) {
        for (int k = 0; k < panels; k++) {
            avx2_store_outputs(p, panel + (size_t)k, row + (size_t)r, sums + r * vectors + 2 * k);
        }
    }
}

#define LLM_ROWS_AND_PANELS(take) take(6, 1) take(2, 2) take(1, 4)

#include "matmul_floats.h"

void llm_avx2_matmul(const llm_matmul *p) {
    if (!multiply_floats(p)) { llm_avx2_matmul_blocks(p); }
}

#pragma clang attribute pop

#else

typedef int llm_avx2_matmul_is_empty;

#endif
