#if defined(__x86_64__)

#include "avx512.h"

#pragma STDC FP_CONTRACT OFF
#pragma clang attribute push(__attribute__((target(LLM_AVX512_TARGET))), apply_to = function)

/// Input `index` of all outputs of a panel.
LLM_TEMPLATE __m512 load_weights(llm_encoding encoding, const uint8_t *panel, size_t index) {
    const uint8_t *start = panel + index * LLM_PANEL * llm_block_bytes(encoding);
    if (encoding == LLM_F32) { return _mm512_loadu_ps(start); }
    __m256i halves = _mm256_loadu_si256((const void *)start);
    if (encoding == LLM_F16) { return _mm512_cvtph_ps(halves); }
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(halves), 16));
}

/// `rows` rows from `row` on times `panels` panels from `panel` on. Few rows take more panels, so that enough
/// sums run side by side.
LLM_TEMPLATE void multiply_rows(
    llm_encoding encoding, int rows, int panels, bool fetches, const llm_matmul *p, size_t panel,
    size_t row) {
    const size_t bytes = llm_panel_bytes(encoding, p->inputs);
    const uint8_t *weights = (const uint8_t *)p->weights + panel * bytes;
    const float *x = (const float *)p->x + row * p->x_stride;
    __m512 sums[rows * panels];
    LLM_UNROLL for (int k = 0; k < rows * panels; k++) { sums[k] = _mm512_setzero_ps(); }
    for (size_t i = 0; i < p->inputs; i++) {
        if (fetches) { llm_prefetch_input(encoding, panels, bytes, weights, i); }
        __m512 w[panels];
        LLM_UNROLL for (int k = 0; k < panels; k++) {
            w[k] = load_weights(encoding, weights + (size_t)k * bytes, i);
        }
        LLM_UNROLL for (int r = 0; r < rows; r++) {
            __m512 number = _mm512_set1_ps(x[(size_t)r * p->x_stride + i]);
            __asm__("" : "+v"(number)); // or each product loads it again
            LLM_UNROLL for (int k = 0; k < panels; k++) {
                sums[r * panels + k] = _mm512_fmadd_ps(w[k], number, sums[r * panels + k]);
            }
        }
    }
    for (int k = 0; k < panels; k++) {
        const size_t output = (panel + (size_t)k) * LLM_PANEL,
                     count = llm_smaller(p->outputs - output, LLM_PANEL);
        const __mmask16 mask = (__mmask16)((1u << count) - 1);
        for (int r = 0; r < rows; r++) {
            __m512 sum = sums[r * panels + k];
            if (p->bias) { sum = _mm512_add_ps(sum, _mm512_maskz_loadu_ps(mask, p->bias + output)); }
            _mm512_mask_storeu_ps(p->y + (row + (size_t)r) * p->y_stride + output, mask, sum);
        }
    }
}

#define LLM_ROWS_AND_PANELS(take) take(6, 4) take(2, 4) take(1, 4)

#include "matmul_floats.h"

void llm_avx512_matmul(const llm_matmul *p) {
    if (!multiply_floats(p)) { llm_avx512_matmul_blocks(p); }
}

#pragma clang attribute pop

#else

typedef int llm_avx512_matmul_is_empty;

#endif
