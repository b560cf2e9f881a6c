#if defined(__aarch64__)

#include "attention.h"
#include "neon.h"

#pragma STDC FP_CONTRACT OFF
#pragma clang attribute push(__attribute__((target("dotprod"))), apply_to = function)

/// `count` elements from `index` on, then zeros up to a multiple of four.
LLM_TEMPLATE void load_row(
    llm_element element, const void *base, size_t index, size_t count, float *out) {
    size_t i = 0;
    for (; i + 4 <= count; i += 4) { vst1q_f32(out + i, neon_elements(element, base, index + i)); }
    for (; i < count; i++) {
        const uint16_t *halves = (const uint16_t *)base + index + i;
        out[i] = element == LLM_ELEMENT_F32   ? ((const float *)base)[index + i]
                 : element == LLM_ELEMENT_I8  ? ((const int8_t *)base)[index + i]
                 : element == LLM_ELEMENT_F16 ? llm_float_of_f16(*halves)
                                              : llm_float_of_bf16(*halves);
    }
}

/// The keys of `count` positions from `start` as columns; columns after them are zero.
LLM_TEMPLATE void load_keys(
    const llm_attention *a, llm_element element, size_t head, size_t start, size_t count, float *out) {
    if (count < LLM_KEYS) { memset(out, 0, LLM_KEYS * a->key_width * sizeof *out); }
    for (size_t key = 0; key < count; key++) {
        const size_t index = llm_cached(a, start + key, head, a->key_width);
        for (size_t column = 0; column < a->key_width; column += 16) {
            float row[16];
            const size_t columns = llm_smaller(a->key_width - column, 16);
            load_row(element, a->keys, index + column, columns, row);
            for (size_t i = 0; i < columns; i++) { out[(column + i) * LLM_KEYS + key] = row[i]; }
        }
    }
}

LLM_TEMPLATE void load_values(
    const llm_attention *a, llm_element element, size_t head, size_t start, size_t count, size_t columns,
    float *out) {
    for (size_t i = 0; i < count; i++, out += columns) {
        const size_t index = llm_cached(a, start + i, head, a->value_width);
        load_row(element, a->values, index, a->value_width, out);
        for (size_t column = a->value_width; column < columns; column++) { out[column] = 0; }
    }
}

/// Turns the scores of a query into exponentials, and takes them into its maximum and sum; then into weights,
/// which the scales of int8 values are part of.
LLM_TEMPLATE void exponentiate(
    const llm_attention *a, const llm_attention_memory *m, llm_element element, size_t query,
    size_t start, llm_span span) {
    float *scores = m->scores + query * LLM_KEYS, *sums = m->lanes + query * LLM_LANES;
    const llm_bias bias = llm_bias_of(a, query, start);
    float now = m->largest[query];
    for (size_t i = 0; i < LLM_KEYS; i++) {
        const float product = element == LLM_ELEMENT_I8 ? scores[i] * m->scales[i] : scores[i];
        float score = product * a->scale;
        if (a->has_softcap) { score = llm_soft_cap(score, a->softcap); }
        if (a->slopes) { score += bias.slope * (float)(bias.offset + (int)i); }
        scores[i] = i < span.first || i >= span.last ? -INFINITY : score;
        now = scores[i] > now ? scores[i] : now;
    }
    const float factor = m->largest[query] == now ? 1.0f : llm_exp(m->largest[query] - now);
    float32x4_t lanes[2] = {
        vmulq_n_f32(vld1q_f32(sums), factor), vmulq_n_f32(vld1q_f32(sums + 4), factor)};
    for (size_t i = 0; i < LLM_KEYS; i += 4) {
        float32x4_t power = neon_exp(vsubq_f32(vld1q_f32(scores + i), vdupq_n_f32(now)));
        lanes[i / 4 % 2] = vaddq_f32(lanes[i / 4 % 2], power);
        if (element == LLM_ELEMENT_I8) { power = vmulq_f32(power, vld1q_f32(m->scales + LLM_KEYS + i)); }
        vst1q_f32(scores + i, power);
    }
    vst1q_f32(sums, lanes[0]);
    vst1q_f32(sums + 4, lanes[1]);
    m->largest[query] = now;
    m->factors[query] = factor;
}

/// Adds `count` products of each of `rows` rows with 32 columns: `sums += a b`. Row `i` of `b` is plain
/// numbers, `b_stride` apart, or begins at element `index[i]` of the cache.
LLM_TEMPLATE void add_products(
    llm_element element, int rows, size_t count, const float *const *a, const void *b, size_t b_stride,
    const size_t *index, float *const *sums) {
    float32x4_t s[3][8];
    LLM_UNROLL for (int r = 0; r < rows; r++) {
        LLM_UNROLL for (int v = 0; v < 8; v++) { s[r][v] = vld1q_f32(sums[r] + 4 * v); }
    }
    for (size_t i = 0; i < count; i++) {
        const size_t start = index ? index[i] : i * b_stride;
        LLM_UNROLL for (int v = 0; v < 8; v++) {
            const float32x4_t column = neon_elements(element, b, start + 4 * (size_t)v);
            LLM_UNROLL for (int r = 0; r < rows; r++) { s[r][v] = vfmaq_n_f32(s[r][v], column, a[r][i]); }
        }
    }
    LLM_UNROLL for (int r = 0; r < rows; r++) {
        LLM_UNROLL for (int v = 0; v < 8; v++) { vst1q_f32(sums[r] + 4 * v, s[r][v]); }
    }
}

#define LLM_ATTENTION_ROWS(take) take(3) take(2) take(1)

#include "attention_tiles.h"

void llm_neon_attend(const llm_attention *a) { attend_any(a); }

#pragma clang attribute pop

#else

typedef int llm_neon_attention_is_empty;

#endif
