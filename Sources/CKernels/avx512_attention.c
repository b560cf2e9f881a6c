#if defined(__x86_64__)

#include "avx2_attention.h"
#include "avx512.h"

#pragma STDC FP_CONTRACT OFF
#pragma clang attribute push(__attribute__((target(LLM_AVX512_TARGET))), apply_to = function)

/// Adds `count` products of each of `rows` rows with 32 columns: `sums += a b`, where `a` has a pointer a
/// row.
LLM_TEMPLATE void add_products(
    int rows, size_t count, const float *const *a, const float *b, size_t b_stride, float *const *sums) {
    __m512 s[8][2];
    LLM_UNROLL for (int r = 0; r < rows; r++) {
        LLM_UNROLL for (int v = 0; v < 2; v++) { s[r][v] = _mm512_loadu_ps(sums[r] + 16 * v); }
    }
    for (size_t i = 0; i < count; i++, b += b_stride) {
        const __m512 columns[2] = {_mm512_loadu_ps(b), _mm512_loadu_ps(b + 16)};
        LLM_UNROLL for (int r = 0; r < rows; r++) {
            const __m512 number = _mm512_set1_ps(a[r][i]);
            LLM_UNROLL for (int v = 0; v < 2; v++) { s[r][v] = _mm512_fmadd_ps(columns[v], number, s[r][v]); }
        }
    }
    LLM_UNROLL for (int r = 0; r < rows; r++) {
        LLM_UNROLL for (int v = 0; v < 2; v++) { _mm512_storeu_ps(sums[r] + 16 * v, s[r][v]); }
    }
}

static size_t multiply_add(
    size_t rows, size_t count, const float *const *a, const float *b, size_t b_stride,
    float *const *sums) {
    if (rows >= 8) {
        add_products(8, count, a, b, b_stride, sums);
        return 8;
    }
    if (rows >= 6) {
        add_products(6, count, a, b, b_stride, sums);
        return 6;
    }
    if (rows >= 4) {
        add_products(4, count, a, b, b_stride, sums);
        return 4;
    }
    if (rows >= 3) {
        add_products(3, count, a, b, b_stride, sums);
        return 3;
    }
    if (rows >= 2) {
        add_products(2, count, a, b, b_stride, sums);
        return 2;
    }
    add_products(1, count, a, b, b_stride, sums);
    return 1;
}

#include "attention_tiles.h"

void llm_avx512_attend(const llm_attention *a) { attend_any(a); }

#pragma clang attribute pop

#else

typedef int llm_avx512_attention_is_empty;

#endif
