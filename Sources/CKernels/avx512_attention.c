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

/// Scores of `rows` queries with the 32 keys of a block, one column each: sixteen sums for each score, added as
/// `llm_sixteen_sum` does as soon as both of a pair are there.
LLM_TEMPLATE void score_columns(
    int rows, size_t width, const float *const *q, const float *keys, float *const *scores) {
    __m512 waiting[4][2][2];
    LLM_UNROLL for (int leaf = 0; leaf < 16; leaf++) {
        const size_t lane = (size_t)((leaf & 1) * 8 + (leaf >> 1 & 1) * 4 + (leaf >> 2 & 1) * 2 + (leaf >> 3));
        __m512 sum[2][2] = {{_mm512_setzero_ps(), _mm512_setzero_ps()}, {_mm512_setzero_ps(), _mm512_setzero_ps()}};
        for (size_t i = lane; i < width; i += 16) {
            const __m512 columns[2] = {_mm512_loadu_ps(keys + i * LLM_KEYS), _mm512_loadu_ps(keys + i * LLM_KEYS + 16)};
            LLM_UNROLL for (int r = 0; r < rows; r++) {
                __m512 number = _mm512_set1_ps(q[r][i]);
                __asm__("" : "+v"(number)); // or each product loads it again
                LLM_UNROLL for (int v = 0; v < 2; v++) { sum[r][v] = _mm512_fmadd_ps(columns[v], number, sum[r][v]); }
            }
        }
        LLM_UNROLL for (int level = 0; level < 4; level++) {
            const bool isSecond = (leaf + 1) % (2 << level) == 0, isFirst = (leaf + 1) % (2 << level) == (1 << level);
            LLM_UNROLL for (int r = 0; r < rows; r++) {
                LLM_UNROLL for (int v = 0; v < 2; v++) {
                    if (isSecond) { sum[r][v] = _mm512_add_ps(waiting[level][r][v], sum[r][v]); }
                    if (isFirst) { waiting[level][r][v] = sum[r][v]; }
                    if (leaf == 15 && level == 3) { _mm512_storeu_ps(scores[r] + 16 * v, sum[r][v]); }
                }
            }
        }
    }
}

static size_t score_block(
    size_t rows, const llm_attention *a, const float *const *q, const float *keys, float *const *scores) {
    if (rows >= 2) {
        score_columns(2, a->key_width, q, keys, scores);
        return 2;
    }
    score_columns(1, a->key_width, q, keys, scores);
    return 1;
}

/// Scores of `rows` queries with eight keys, which begin at the elements `index` of the cache.
LLM_TEMPLATE void score_eight(
    llm_element element, int rows, const llm_attention *a, const size_t *index, const float *const *q,
    float *const *scores) {
    __m256 sums[3][8];
    LLM_UNROLL for (int key = 0; key < 8; key += 2) {
        __m512 s[3][2];
        LLM_UNROLL for (int r = 0; r < rows; r++) { s[r][0] = s[r][1] = _mm512_setzero_ps(); }
        for (size_t column = 0; column < a->key_width; column += 16) {
            const __m512 keys[2] = {
                load_sixteen(element, a->keys, index[key] + column),
                load_sixteen(element, a->keys, index[key + 1] + column)};
            LLM_UNROLL for (int r = 0; r < rows; r++) {
                const __m512 numbers = _mm512_loadu_ps(q[r] + column);
                LLM_UNROLL for (int k = 0; k < 2; k++) { s[r][k] = _mm512_fmadd_ps(keys[k], numbers, s[r][k]); }
            }
        }
        LLM_UNROLL for (int r = 0; r < rows; r++) {
            LLM_UNROLL for (int k = 0; k < 2; k++) {
                sums[r][key + k] = _mm256_add_ps(
                    _mm512_castps512_ps256(s[r][k]), _mm512_extractf32x8_ps(s[r][k], 1));
            }
        }
    }
    LLM_UNROLL for (int r = 0; r < rows; r++) { _mm256_storeu_ps(scores[r], avx2_sums_of_eight(sums[r])); }
}

#define LLM_SCORE_ROWS(take) take(3) take(2) take(1)
#define LLM_ATTENTION_ROWS(take) take(8) take(6) take(4) take(3) take(2) take(1)

#include "attention_tiles.h"

void llm_avx512_attend(const llm_attention *a) { attend_any(a); }

#pragma clang attribute pop

#else

typedef int llm_avx512_attention_is_empty;

#endif
