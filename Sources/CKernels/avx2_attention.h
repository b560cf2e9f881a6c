/// Attention with vectors of eight, but for the products, which each instruction set has its own kernel for.
#ifndef LLM_AVX2_ATTENTION_H
#define LLM_AVX2_ATTENTION_H

#include "attention.h"
#include "avx2.h"

#pragma STDC FP_CONTRACT OFF
#pragma clang attribute push(__attribute__((target("avx2,fma,f16c"))), apply_to = function)

/// Rows become columns.
LLM_TEMPLATE void avx2_transpose(__m256 *r) {
    __m256 t[8];
    LLM_UNROLL for (int i = 0; i < 4; i++) {
        t[2 * i] = _mm256_unpacklo_ps(r[2 * i], r[2 * i + 1]);
        t[2 * i + 1] = _mm256_unpackhi_ps(r[2 * i], r[2 * i + 1]);
    }
    LLM_UNROLL for (int i = 0; i < 2; i++) {
        r[4 * i] = _mm256_shuffle_ps(t[4 * i], t[4 * i + 2], 0x44);
        r[4 * i + 1] = _mm256_shuffle_ps(t[4 * i], t[4 * i + 2], 0xee);
        r[4 * i + 2] = _mm256_shuffle_ps(t[4 * i + 1], t[4 * i + 3], 0x44);
        r[4 * i + 3] = _mm256_shuffle_ps(t[4 * i + 1], t[4 * i + 3], 0xee);
    }
    LLM_UNROLL for (int i = 0; i < 4; i++) {
        t[i] = _mm256_permute2f128_ps(r[i], r[i + 4], 0x20);
        t[i + 4] = _mm256_permute2f128_ps(r[i], r[i + 4], 0x31);
    }
    LLM_UNROLL for (int i = 0; i < 8; i++) { r[i] = t[i]; }
}

/// The sum of each of eight vectors: lanes four apart first, then two, then one.
LLM_TEMPLATE __m256 avx2_sums_of_eight(const __m256 *x) {
    __m256 four[4], two[2];
    LLM_UNROLL for (int i = 0; i < 4; i++) {
        four[i] = _mm256_add_ps(
            _mm256_permute2f128_ps(x[i], x[i + 4], 0x20), _mm256_permute2f128_ps(x[i], x[i + 4], 0x31));
    }
    LLM_UNROLL for (int i = 0; i < 2; i++) {
        two[i] = _mm256_add_ps(
            _mm256_shuffle_ps(four[2 * i], four[2 * i + 1], 0x44),
            _mm256_shuffle_ps(four[2 * i], four[2 * i + 1], 0xee));
    }
    return _mm256_add_ps(_mm256_shuffle_ps(two[0], two[1], 0x88), _mm256_shuffle_ps(two[0], two[1], 0xdd));
}

/// Columns `column ..< column + columns` of eight keys, of which `count` are there, from number `key` of a
/// block.
LLM_TEMPLATE void load_eight_keys(
    const llm_attention *a, llm_element element, const size_t *index, size_t count, size_t column,
    size_t columns, float *out) {
    __m256 rows[8];
    LLM_UNROLL for (size_t i = 0; i < 8; i++) {
        rows[i] = i < count ? avx2_load_element(element, a->keys, index[i] + column, columns)
                            : _mm256_setzero_ps();
    }
    avx2_transpose(rows);
    LLM_UNROLL for (size_t i = 0; i < 8; i++) {
        if (i < columns) { _mm256_storeu_ps(out + (column + i) * LLM_KEYS, rows[i]); }
    }
}

/// The keys of `count` positions from `start` as columns; columns after them are zero.
LLM_TEMPLATE void load_keys(
    const llm_attention *a, llm_element element, size_t head, size_t start, size_t count, float *out) {
    for (size_t key = 0; key < LLM_KEYS; key += 8, out += 8) {
        const size_t here = count > key ? llm_smaller(count - key, 8) : 0;
        size_t index[8] = {0}, column = 0;
        for (size_t i = 0; i < here; i++) {
            index[i] = llm_cached(a, start + key + i, head, a->key_width);
        }
        if (here == 8) {
            for (; column + 8 <= a->key_width; column += 8) {
                load_eight_keys(a, element, index, 8, column, 8, out);
            }
        }
        for (; column < a->key_width; column += 8) {
            const size_t columns = llm_smaller(a->key_width - column, 8);
            load_eight_keys(a, element, index, here, column, columns, out);
        }
    }
}

LLM_TEMPLATE void load_values(
    const llm_attention *a, llm_element element, size_t head, size_t start, size_t count, size_t columns,
    float *out) {
    for (size_t i = 0; i < count; i++, out += columns) {
        const size_t index = llm_cached(a, start + i, head, a->value_stride);
        size_t column = 0;
        for (; column + 8 <= a->value_width; column += 8) {
            _mm256_storeu_ps(out + column, avx2_load_element(element, a->values, index + column, 8));
        }
        for (; column < columns; column += 8) {
            const size_t left = column < a->value_width ? a->value_width - column : 0;
            __m256 rest =
                left ? avx2_load_element(element, a->values, index + column, left) : _mm256_setzero_ps();
            _mm256_storeu_ps(out + column, rest);
        }
    }
}

/// Scaled scores, minus infinity where the query sees nothing.
LLM_TEMPLATE void scale_scores(
    const llm_attention *a, const llm_attention_memory *m, llm_element element, const float *scores,
    llm_bias bias, llm_span span, __m256 *s) {
    LLM_UNROLL for (int v = 0; v < 4; v++) {
        s[v] = _mm256_loadu_ps(scores + 8 * v);
        if (element == LLM_ELEMENT_I8) { s[v] = _mm256_mul_ps(s[v], _mm256_loadu_ps(m->scales + 8 * v)); }
        s[v] = _mm256_mul_ps(s[v], _mm256_set1_ps(a->scale));
    }
    if (a->has_softcap) {
        float capped[LLM_KEYS];
        LLM_UNROLL for (int v = 0; v < 4; v++) { _mm256_storeu_ps(capped + 8 * v, s[v]); }
        for (int i = 0; i < LLM_KEYS; i++) { capped[i] = llm_soft_cap(capped[i], a->softcap); }
        LLM_UNROLL for (int v = 0; v < 4; v++) { s[v] = _mm256_loadu_ps(capped + 8 * v); }
    }
    if (a->slopes) {
        __m256i apart = _mm256_add_epi32(
            _mm256_set1_epi32(bias.offset), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
        LLM_UNROLL for (int v = 0; v < 4; v++) {
            const __m256 gain = _mm256_mul_ps(_mm256_set1_ps(bias.slope), _mm256_cvtepi32_ps(apart));
            s[v] = _mm256_add_ps(s[v], gain);
            apart = _mm256_add_epi32(apart, _mm256_set1_epi32(8));
        }
    }
    if (span.first == 0 && span.last == LLM_KEYS) { return; }
    const __m256i first = _mm256_set1_epi32((int)span.first), last = _mm256_set1_epi32((int)span.last);
    __m256i position = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
    LLM_UNROLL for (int v = 0; v < 4; v++) {
        __m256i before = _mm256_cmpgt_epi32(first, position);
        __m256i inside = _mm256_andnot_si256(before, _mm256_cmpgt_epi32(last, position));
        s[v] = _mm256_blendv_ps(_mm256_set1_ps(-INFINITY), s[v], _mm256_castsi256_ps(inside));
        position = _mm256_add_epi32(position, _mm256_set1_epi32(8));
    }
}

/// Turns the scores of a query into exponentials, and takes them into its maximum and sum; then into weights,
/// which the scales of int8 values are part of.
LLM_TEMPLATE void exponentiate(
    const llm_attention *a, const llm_attention_memory *m, llm_element element, size_t query,
    size_t start, llm_span span) {
    float *scores = m->scores + query * LLM_KEYS, *sums = m->lanes + query * LLM_LANES;
    __m256 s[4], largest = _mm256_set1_ps(m->largest[query]);
    scale_scores(a, m, element, scores, llm_bias_of(a, query, start), span, s);
    // Where one is no number, the maximum is the second.
    LLM_UNROLL for (int v = 0; v < 4; v++) { largest = _mm256_max_ps(s[v], largest); }
    largest = _mm256_max_ps(largest, _mm256_permute2f128_ps(largest, largest, 1));
    largest = _mm256_max_ps(largest, _mm256_shuffle_ps(largest, largest, 0x4e));
    largest = _mm256_max_ps(largest, _mm256_shuffle_ps(largest, largest, 0xb1));
    const float now = _mm256_cvtss_f32(largest);
    const float factor = m->largest[query] == now ? 1.0f : llm_exp(m->largest[query] - now);
    __m256 lanes = _mm256_mul_ps(_mm256_loadu_ps(sums), _mm256_set1_ps(factor));
    LLM_UNROLL for (int v = 0; v < 4; v++) {
        __m256 power = avx2_exp(_mm256_sub_ps(s[v], largest));
        lanes = _mm256_add_ps(lanes, power);
        if (element == LLM_ELEMENT_I8) {
            power = _mm256_mul_ps(power, _mm256_loadu_ps(m->scales + LLM_KEYS + 8 * v));
        }
        _mm256_storeu_ps(scores + 8 * v, power);
    }
    _mm256_storeu_ps(sums, lanes);
    m->largest[query] = now;
    m->factors[query] = factor;
}

#pragma clang attribute pop

#endif
