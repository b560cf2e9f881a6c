#if defined(__x86_64__)

#include "avx2_attention.h"

#pragma STDC FP_CONTRACT OFF
#pragma clang attribute push(__attribute__((target("avx2,fma,f16c"))), apply_to = function)

static void store_f16(const float *x, size_t count, uint16_t *out) {
    size_t i = 0;
    for (; i + 8 <= count; i += 8) {
        __m128i halves = _mm256_cvtps_ph(_mm256_loadu_ps(x + i), _MM_FROUND_TO_NEAREST_INT);
        _mm_storeu_si128((void *)(out + i), halves);
    }
    for (; i < count; i++) { out[i] = llm_f16_of_float(x[i]); }
}

static void store_bf16(const float *x, size_t count, uint16_t *out) {
    size_t i = 0;
    for (; i + 8 <= count; i += 8) {
        __m256 value = _mm256_loadu_ps(x + i);
        __m256i bits = _mm256_castps_si256(value), top = _mm256_srli_epi32(bits, 16);
        __m256i odd = _mm256_and_si256(top, _mm256_set1_epi32(1));
        __m256i rounded = _mm256_add_epi32(_mm256_add_epi32(bits, _mm256_set1_epi32(0x7fff)), odd);
        __m256i quiet = _mm256_or_si256(top, _mm256_set1_epi32(0x40));
        __m256i unordered = _mm256_castps_si256(_mm256_cmp_ps(value, value, _CMP_UNORD_Q));
        __m256i words = _mm256_blendv_epi8(_mm256_srli_epi32(rounded, 16), quiet, unordered);
        __m128i low = _mm256_castsi256_si128(words), high = _mm256_extracti128_si256(words, 1);
        _mm_storeu_si128((void *)(out + i), _mm_packus_epi32(low, high));
    }
    for (; i < count; i++) { out[i] = llm_bf16_of_float(x[i]); }
}

/// Quantises one head and returns its scale.
static uint16_t store_i8(const float *x, size_t count, int8_t *out) {
    __m256i largest = _mm256_setzero_si256();
    for (size_t i = 0; i < count; i += 8) {
        __m256i bits = _mm256_castps_si256(avx2_load(x + i, count - i));
        largest = _mm256_max_epi32(largest, _mm256_and_si256(bits, _mm256_set1_epi32(0x7fffffff)));
    }
    const llm_head_scale head = llm_head_scale_of(avx2_largest_lane(largest));
    if (head.inverse == 0) {
        memset(out, 0, count);
        return head.scale;
    }
    for (size_t i = 0; i < count; i += 8) {
        __m256 scaled = _mm256_mul_ps(avx2_load(x + i, count - i), _mm256_set1_ps(head.inverse));
        __m256i words = _mm256_min_epi32(_mm256_cvtps_epi32(scaled), _mm256_set1_epi32(127));
        words = _mm256_max_epi32(words, _mm256_set1_epi32(-127));
        __m128i low = _mm256_castsi256_si128(words), high = _mm256_extracti128_si256(words, 1);
        __m128i bytes = _mm_packs_epi16(_mm_packs_epi32(low, high), _mm_setzero_si128());
        memcpy(out + i, &bytes, llm_smaller(count - i, 8));
    }
    return head.scale;
}

void llm_avx2_store_rows(const llm_store *s) {
    const size_t columns = s->heads * s->width;
    for (size_t row = 0; row < s->rows; row++) {
        const float *x = s->x + row * s->x_stride;
        const size_t slot = (size_t)s->slots[row], start = slot * columns;
        switch (s->element) {
        case LLM_ELEMENT_F32: memcpy((float *)s->cache + start, x, columns * sizeof *x); break;
        case LLM_ELEMENT_F16: store_f16(x, columns, (uint16_t *)s->cache + start); break;
        case LLM_ELEMENT_BF16: store_bf16(x, columns, (uint16_t *)s->cache + start); break;
        case LLM_ELEMENT_I8:
            for (size_t head = 0; head < s->heads; head++) {
                const size_t column = head * s->width;
                s->scales[slot * s->heads + head] =
                    store_i8(x + column, s->width, (int8_t *)s->cache + start + column);
            }
            break;
        }
    }
}

/// Adds `count` products of each of `rows` rows with 32 columns: `sums += a b`. Row `i` of `b` is plain
/// numbers, `b_stride` apart, or begins at element `index[i]` of the cache.
LLM_TEMPLATE void add_products(
    llm_element element, int rows, size_t count, const float *const *a, const void *b, size_t b_stride,
    const size_t *index, float *const *sums) {
    __m256 s[3][4];
    LLM_UNROLL for (int r = 0; r < rows; r++) {
        LLM_UNROLL for (int v = 0; v < 4; v++) { s[r][v] = _mm256_loadu_ps(sums[r] + 8 * v); }
    }
    for (size_t i = 0; i < count; i++) {
        const size_t start = index ? index[i] : i * b_stride;
        __m256 numbers[3];
        LLM_UNROLL for (int r = 0; r < rows; r++) { numbers[r] = _mm256_broadcast_ss(a[r] + i); }
        LLM_UNROLL for (int v = 0; v < 4; v++) {
            const __m256 column = avx2_load_element(element, b, start + 8 * (size_t)v, 8);
            LLM_UNROLL for (int r = 0; r < rows; r++) {
                s[r][v] = _mm256_fmadd_ps(column, numbers[r], s[r][v]);
            }
        }
    }
    LLM_UNROLL for (int r = 0; r < rows; r++) {
        LLM_UNROLL for (int v = 0; v < 4; v++) { _mm256_storeu_ps(sums[r] + 8 * v, s[r][v]); }
    }
}

/// Scores of `rows` queries with sixteen keys of a block, one column each: sixteen sums for each score, added as
/// `llm_sixteen_sum` does as soon as both of a pair are there.
LLM_TEMPLATE void score_columns(
    int rows, size_t width, const float *const *q, const float *keys, float *const *scores, size_t key) {
    __m256 waiting[4][2][2];
    LLM_UNROLL for (int leaf = 0; leaf < 16; leaf++) {
        const size_t lane = (size_t)((leaf & 1) * 8 + (leaf >> 1 & 1) * 4 + (leaf >> 2 & 1) * 2 + (leaf >> 3));
        __m256 sum[2][2] = {{_mm256_setzero_ps(), _mm256_setzero_ps()}, {_mm256_setzero_ps(), _mm256_setzero_ps()}};
        for (size_t i = lane; i < width; i += 16) {
            const float *row = keys + i * LLM_KEYS + key;
            const __m256 columns[2] = {_mm256_loadu_ps(row), _mm256_loadu_ps(row + 8)};
            LLM_UNROLL for (int r = 0; r < rows; r++) {
                const __m256 number = _mm256_broadcast_ss(q[r] + i);
                LLM_UNROLL for (int v = 0; v < 2; v++) { sum[r][v] = _mm256_fmadd_ps(columns[v], number, sum[r][v]); }
            }
        }
        LLM_UNROLL for (int level = 0; level < 4; level++) {
            const bool isSecond = (leaf + 1) % (2 << level) == 0, isFirst = (leaf + 1) % (2 << level) == (1 << level);
            LLM_UNROLL for (int r = 0; r < rows; r++) {
                LLM_UNROLL for (int v = 0; v < 2; v++) {
                    if (isSecond) { sum[r][v] = _mm256_add_ps(waiting[level][r][v], sum[r][v]); }
                    if (isFirst) { waiting[level][r][v] = sum[r][v]; }
                    if (leaf == 15 && level == 3) { _mm256_storeu_ps(scores[r] + key + 8 * v, sum[r][v]); }
                }
            }
        }
    }
}

static size_t score_block(
    size_t rows, const llm_attention *a, const float *const *q, const float *keys, float *const *scores) {
    for (size_t key = 0; key < LLM_KEYS; key += 16) {
        if (rows >= 2) {
            score_columns(2, a->key_width, q, keys, scores, key);
        } else {
            score_columns(1, a->key_width, q, keys, scores, key);
        }
    }
    return llm_smaller(rows, 2);
}

/// Scores of `rows` queries with eight keys, which begin at the elements `index` of the cache.
LLM_TEMPLATE void score_eight(
    llm_element element, int rows, const llm_attention *a, const size_t *index, const float *const *q,
    float *const *scores) {
    __m256 sums[2][8];
    LLM_UNROLL for (int key = 0; key < 8; key++) {
        __m256 s[2][2];
        LLM_UNROLL for (int r = 0; r < rows; r++) { s[r][0] = s[r][1] = _mm256_setzero_ps(); }
        for (size_t column = 0; column < a->key_width; column += 16) {
            LLM_UNROLL for (int v = 0; v < 2; v++) {
                const size_t part = column + 8 * (size_t)v;
                const __m256 numbers = avx2_load_element(element, a->keys, index[key] + part, 8);
                LLM_UNROLL for (int r = 0; r < rows; r++) {
                    s[r][v] = _mm256_fmadd_ps(numbers, _mm256_loadu_ps(q[r] + part), s[r][v]);
                }
            }
        }
        LLM_UNROLL for (int r = 0; r < rows; r++) { sums[r][key] = _mm256_add_ps(s[r][0], s[r][1]); }
    }
    LLM_UNROLL for (int r = 0; r < rows; r++) { _mm256_storeu_ps(scores[r], avx2_sums_of_eight(sums[r])); }
}

#define LLM_SCORE_ROWS(take) take(2) take(1)
#define LLM_ATTENTION_ROWS(take) take(3) take(2) take(1)

#include "attention_tiles.h"

void llm_avx2_attend(const llm_attention *a) { attend_any(a); }

#pragma clang attribute pop

#else

typedef int llm_avx2_attention_is_empty;

#endif
