#if defined(__x86_64__)

#include "avx2_attention.h"
#include "avx512.h"

#pragma STDC FP_CONTRACT OFF
#pragma clang attribute push(__attribute__((target(LLM_AVX512_TARGET))), apply_to = function)

/// Sixteen elements from `index` on, as float32.
LLM_TEMPLATE __m512 load_sixteen(llm_element element, const void *base, size_t index) {
    if (element == LLM_ELEMENT_F32) { return _mm512_loadu_ps((const float *)base + index); }
    if (element == LLM_ELEMENT_I8) {
        const __m128i bytes = _mm_loadu_si128((const void *)((const int8_t *)base + index));
        return _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(bytes));
    }
    const __m256i halves = _mm256_loadu_si256((const void *)((const uint16_t *)base + index));
    if (element == LLM_ELEMENT_F16) { return _mm512_cvtph_ps(halves); }
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(halves), 16));
}

/// Adds `count` products of each of `rows` rows with 32 columns: `sums += a b`. Row `i` of `b` is plain
/// numbers, `b_stride` apart, or begins at element `index[i]` of the cache.
LLM_TEMPLATE void add_products(
    llm_element element, int rows, size_t count, const float *const *a, const void *b, size_t b_stride,
    const size_t *index, float *const *sums) {
    __m512 s[8][2];
    LLM_UNROLL for (int r = 0; r < rows; r++) {
        LLM_UNROLL for (int v = 0; v < 2; v++) { s[r][v] = _mm512_loadu_ps(sums[r] + 16 * v); }
    }
    for (size_t i = 0; i < count; i++) {
        const size_t start = index ? index[i] : i * b_stride;
        const __m512 columns[2] = {load_sixteen(element, b, start), load_sixteen(element, b, start + 16)};
        LLM_UNROLL for (int r = 0; r < rows; r++) {
            __m512 number = _mm512_set1_ps(a[r][i]);
            __asm__("" : "+v"(number)); // or each product loads it again
            LLM_UNROLL for (int v = 0; v < 2; v++) {
                s[r][v] = _mm512_fmadd_ps(columns[v], number, s[r][v]);
            }
        }
    }
    LLM_UNROLL for (int r = 0; r < rows; r++) {
        LLM_UNROLL for (int v = 0; v < 2; v++) { _mm512_storeu_ps(sums[r] + 16 * v, s[r][v]); }
    }
}

#define LLM_ATTENTION_ROWS(take) take(8) take(6) take(4) take(3) take(2) take(1)

#include "attention_tiles.h"

void llm_avx512_attend(const llm_attention *a) { attend_any(a); }

#pragma clang attribute pop

#else

typedef int llm_avx512_attention_is_empty;

#endif
