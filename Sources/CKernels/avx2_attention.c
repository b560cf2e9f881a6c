#if defined(__x86_64__)

#include "avx2.h"

#pragma STDC FP_CONTRACT OFF
#pragma clang attribute push(__attribute__((target("avx2,fma,f16c"))), apply_to = function)

enum { POSITIONS = 32 }; // whose values stay in the first-level cache while all columns are summed

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

void llm_avx2_store_rows(
    llm_element element, const float *x, size_t x_stride, size_t rows, size_t columns, const int32_t *slots,
    void *cache) {
    for (size_t row = 0; row < rows; row++, x += x_stride) {
        size_t start = (size_t)slots[row] * columns;
        switch (element) {
        case LLM_ELEMENT_F32: memcpy((float *)cache + start, x, columns * sizeof *x); break;
        case LLM_ELEMENT_F16: store_f16(x, columns, (uint16_t *)cache + start); break;
        case LLM_ELEMENT_BF16: store_bf16(x, columns, (uint16_t *)cache + start); break;
        }
    }
}

/// Scaled scores of `heads` query heads from `head`, which share the keys of `kv_head`; those of one head
/// are `key_count` apart in `scores`.
LLM_TEMPLATE void score(
    const llm_attention *a, llm_element element, size_t heads, size_t head, size_t kv_head, float *scores) {
    const size_t width = a->key_width;
    const float *q = a->q + head * width;
    for (size_t i = 0; i < a->key_count; i++) {
        size_t key = ((size_t)a->slots[a->first_key + i] * a->kv_heads + kv_head) * width;
        __m256 lanes[8];
        for (size_t h = 0; h < heads; h++) { lanes[h] = _mm256_setzero_ps(); }
        size_t column = 0;
        for (; column + 8 <= width; column += 8) {
            __m256 keys = avx2_load_element(element, a->keys, key + column, 8);
            for (size_t h = 0; h < heads; h++) {
                lanes[h] = _mm256_fmadd_ps(_mm256_loadu_ps(q + h * width + column), keys, lanes[h]);
            }
        }
        if (column < width) {
            __m256 keys = avx2_load_element(element, a->keys, key + column, width - column);
            for (size_t h = 0; h < heads; h++) {
                __m256 queries = avx2_load(q + h * width + column, width - column);
                lanes[h] = _mm256_fmadd_ps(queries, keys, lanes[h]);
            }
        }
        for (size_t h = 0; h < heads; h++) {
            scores[h * a->key_count + i] = avx2_lane_sum(lanes[h]) * a->scale;
        }
    }
}

/// Turns scores into exponentials and returns their sum.
static float exponentiate(float *scores, size_t count) {
    __m256 largest = _mm256_set1_ps(avx2_largest(scores, count)), lanes = _mm256_setzero_ps();
    size_t i = 0;
    for (; i + 8 <= count; i += 8) {
        __m256 power = avx2_exp(_mm256_sub_ps(_mm256_loadu_ps(scores + i), largest));
        _mm256_storeu_ps(scores + i, power);
        lanes = _mm256_add_ps(lanes, power);
    }
    if (i < count) {
        __m256 power = avx2_exp(_mm256_sub_ps(avx2_load(scores + i, count - i), largest));
        avx2_store(scores + i, count - i, power);
        power = _mm256_and_ps(power, _mm256_castsi256_ps(avx2_mask(count - i)));
        lanes = _mm256_add_ps(lanes, power);
    }
    return avx2_lane_sum(lanes);
}

/// Adds weighted values of positions `first ..< last` to `vectors` vectors of columns of each head of y;
/// with one vector, `columns` of it are there.
LLM_TEMPLATE void add_columns(
    const llm_attention *a, llm_element element, size_t heads, size_t vectors, size_t columns,
    size_t kv_head, size_t column, size_t first, size_t last, const float *weights, float *y) {
    __m256 sums[8];
    for (size_t h = 0; h < heads; h++) {
        for (size_t v = 0; v < vectors; v++) {
            sums[h * vectors + v] = avx2_load(y + h * a->value_width + column + 8 * v, columns);
        }
    }
    for (size_t i = first; i < last; i++) {
        size_t slot = (size_t)a->slots[a->first_key + i];
        size_t start = (slot * a->kv_heads + kv_head) * a->value_width + column;
        for (size_t v = 0; v < vectors; v++) {
            __m256 values = avx2_load_element(element, a->values, start + 8 * v, columns);
            for (size_t h = 0; h < heads; h++) {
                __m256 weight = _mm256_broadcast_ss(weights + h * a->key_count + i);
                sums[h * vectors + v] = _mm256_fmadd_ps(weight, values, sums[h * vectors + v]);
            }
        }
    }
    for (size_t h = 0; h < heads; h++) {
        for (size_t v = 0; v < vectors; v++) {
            avx2_store(y + h * a->value_width + column + 8 * v, columns, sums[h * vectors + v]);
        }
    }
}

LLM_TEMPLATE void add_values(
    const llm_attention *a, llm_element element, size_t heads, size_t kv_head, const float *weights,
    float *y) {
    const size_t vectors = 8 / heads, width = a->value_width;
    for (size_t first = 0; first < a->key_count; first += POSITIONS) {
        size_t last = llm_smaller(first + POSITIONS, a->key_count), column = 0;
        for (; column + 8 * vectors <= width; column += 8 * vectors) {
            add_columns(a, element, heads, vectors, 8, kv_head, column, first, last, weights, y);
        }
        for (; column + 8 <= width; column += 8) {
            add_columns(a, element, heads, 1, 8, kv_head, column, first, last, weights, y);
        }
        if (column < width) {
            add_columns(a, element, heads, 1, width - column, kv_head, column, first, last, weights, y);
        }
    }
}

LLM_TEMPLATE void attend_heads(
    const llm_attention *a, llm_element element, size_t heads, size_t head, size_t kv_head) {
    float *scores = a->scratch, *y = a->y + head * a->value_width, inverses[8];
    score(a, element, heads, head, kv_head, scores);
    for (size_t i = 0; a->has_softcap && i < heads * a->key_count; i++) {
        scores[i] = llm_soft_cap(scores[i], a->softcap);
    }
    for (size_t h = 0; h < heads; h++) {
        float sum = exponentiate(scores + h * a->key_count, a->key_count);
        inverses[h] = a->key_count ? 1.0f / sum : 0.0f;
    }
    memset(y, 0, heads * a->value_width * sizeof *y);
    add_values(a, element, heads, kv_head, scores, y);
    for (size_t h = 0; h < heads; h++) {
        for (size_t i = 0; i < a->value_width; i++) { y[h * a->value_width + i] *= inverses[h]; }
    }
}

/// All heads of the range, eight, four, two or one query heads of a group at a time.
LLM_TEMPLATE void attend(const llm_attention *a, llm_element element) {
    size_t group = a->query_heads / a->kv_heads;
    for (size_t kv_head = a->first_kv_head; kv_head < a->last_kv_head; kv_head++) {
        size_t head = kv_head * group, end = head + group;
        for (; head + 8 <= end; head += 8) { attend_heads(a, element, 8, head, kv_head); }
        if (head + 4 <= end) {
            attend_heads(a, element, 4, head, kv_head);
            head += 4;
        }
        if (head + 2 <= end) {
            attend_heads(a, element, 2, head, kv_head);
            head += 2;
        }
        if (head < end) { attend_heads(a, element, 1, head, kv_head); }
    }
}

static void attend_f32(const llm_attention *a) { attend(a, LLM_ELEMENT_F32); }
static void attend_f16(const llm_attention *a) { attend(a, LLM_ELEMENT_F16); }
static void attend_bf16(const llm_attention *a) { attend(a, LLM_ELEMENT_BF16); }

void llm_avx2_attend(const llm_attention *a) {
    switch (a->element) {
    case LLM_ELEMENT_F32: attend_f32(a); break;
    case LLM_ELEMENT_F16: attend_f16(a); break;
    case LLM_ELEMENT_BF16: attend_bf16(a); break;
    }
}

#pragma clang attribute pop

#else

typedef int llm_avx2_attention_is_empty;

#endif
