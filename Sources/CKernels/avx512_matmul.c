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
    llm_encoding encoding, int rows, int panels, const llm_matmul *p, size_t panel, size_t row) {
    const size_t bytes = llm_panel_bytes(encoding, p->inputs);
    const uint8_t *weights = (const uint8_t *)p->weights + panel * bytes;
    const float *x = (const float *)p->x + row * p->x_stride;
    __m512 sums[rows * panels];
    LLM_UNROLL for (int k = 0; k < rows * panels; k++) { sums[k] = _mm512_setzero_ps(); }
    for (size_t i = 0; i < p->inputs; i++) {
        __m512 w[panels];
        LLM_UNROLL for (int k = 0; k < panels; k++) { w[k] = load_weights(encoding, weights + (size_t)k * bytes, i); }
        LLM_UNROLL for (int r = 0; r < rows; r++) {
            __m512 number = _mm512_set1_ps(x[(size_t)r * p->x_stride + i]);
            LLM_UNROLL for (int k = 0; k < panels; k++) {
                sums[r * panels + k] = _mm512_fmadd_ps(w[k], number, sums[r * panels + k]);
            }
        }
    }
    for (int k = 0; k < panels; k++) {
        const size_t output = (panel + (size_t)k) * LLM_PANEL, count = llm_smaller(p->outputs - output, LLM_PANEL);
        const __mmask16 mask = (__mmask16)((1u << count) - 1);
        for (int r = 0; r < rows; r++) {
            __m512 sum = sums[r * panels + k];
            if (p->bias) { sum = _mm512_add_ps(sum, _mm512_maskz_loadu_ps(mask, p->bias + output)); }
            _mm512_mask_storeu_ps(p->y + (row + (size_t)r) * p->y_stride + output, mask, sum);
        }
    }
}

/// Rows `first ..< last` times all panels.
LLM_TEMPLATE void multiply_panels(llm_encoding encoding, const llm_matmul *p, size_t first, size_t last) {
    size_t row = first;
#define LLM_MULTIPLY_ROWS(rows, panels)                                                                   \
    if (row + rows <= last) {                                                                             \
        const size_t end = last - (last - row) % rows;                                                    \
        size_t panel = p->first_panel;                                                                    \
        for (; panel + panels <= p->last_panel; panel += panels) {                                        \
            for (size_t r = row; r < end; r += rows) { multiply_rows(encoding, rows, panels, p, panel, r); } \
        }                                                                                                 \
        for (; panel < p->last_panel; panel++) {                                                          \
            for (size_t r = row; r < end; r += rows) { multiply_rows(encoding, rows, 1, p, panel, r); }   \
        }                                                                                                 \
        row = end;                                                                                        \
    }
    LLM_MULTIPLY_ROWS(12, 2)
    LLM_MULTIPLY_ROWS(4, 2)
    LLM_MULTIPLY_ROWS(2, 4)
    LLM_MULTIPLY_ROWS(1, 8)
#undef LLM_MULTIPLY_ROWS
}

LLM_TEMPLATE void multiply(llm_encoding encoding, const llm_matmul *p) {
    const size_t together = llm_rows_together(p->inputs * sizeof(float)) / LLM_TILE * 12;
    for (size_t first = 0; first < p->rows; first += together) {
        multiply_panels(encoding, p, first, llm_smaller(first + together, p->rows));
    }
}

static void multiply_f32(const llm_matmul *p) { multiply(LLM_F32, p); }
static void multiply_f16(const llm_matmul *p) { multiply(LLM_F16, p); }
static void multiply_bf16(const llm_matmul *p) { multiply(LLM_BF16, p); }

void llm_avx512_matmul(const llm_matmul *p) {
    switch (p->encoding) {
    case LLM_F32: multiply_f32(p); break;
    case LLM_F16: multiply_f16(p); break;
    case LLM_BF16: multiply_bf16(p); break;
    default: llm_avx512_matmul_blocks(p);
    }
}

#pragma clang attribute pop

#else

typedef int llm_avx512_matmul_is_empty;

#endif
