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

/// The keys of `count` positions from `start`, one row each; rows after them are zero.
LLM_TEMPLATE void load_keys(
    const llm_attention *a, llm_element element, size_t head, size_t start, size_t count, float *out) {
    if (count < LLM_KEYS) { memset(out, 0, LLM_KEYS * a->key_width * sizeof *out); }
    for (size_t key = 0; key < count; key++) {
        float *row = out + key * a->key_width;
        const size_t index = llm_cached(a, start + key, head, a->key_width);
        const size_t whole = a->key_width / 4 * 4, rest = a->key_width - whole;
        load_row(element, a->keys, index, whole, row);
        float last[4];
        load_row(element, a->keys, index + whole, rest, last);
        memcpy(row + whole, last, rest * sizeof *last);
    }
}

/// The product of a query with the key that begins at element `index`: sixteen sums, added as
/// `llm_sixteen_sum` does.
LLM_TEMPLATE float product(
    llm_element element, const float *q, const void *keys, size_t index, size_t width) {
    float32x4_t sums[4] = {vdupq_n_f32(0), vdupq_n_f32(0), vdupq_n_f32(0), vdupq_n_f32(0)};
    size_t i = 0;
    for (; i + 16 <= width; i += 16) {
        LLM_UNROLL for (size_t v = 0; v < 4; v++) {
            const float32x4_t key = neon_elements(element, keys, index + i + 4 * v);
            sums[v] = vfmaq_f32(sums[v], key, vld1q_f32(q + i + 4 * v));
        }
    }
    if (i < width) {
        float lanes[16], rest[16];
        LLM_UNROLL for (int v = 0; v < 4; v++) { vst1q_f32(lanes + 4 * v, sums[v]); }
        load_row(element, keys, index + i, width - i, rest);
        for (size_t lane = 0; i + lane < width; lane++) { lanes[lane] = fmaf(rest[lane], q[i + lane], lanes[lane]); }
        return llm_sixteen_sum(lanes);
    }
    const float32x4_t four = vaddq_f32(vaddq_f32(sums[0], sums[2]), vaddq_f32(sums[1], sums[3]));
    const float32x2_t two = vadd_f32(vget_low_f32(four), vget_high_f32(four));
    return vget_lane_f32(two, 0) + vget_lane_f32(two, 1);
}

/// Scores of one query with the keys of a block, one row each.
static size_t score_block(
    size_t rows, const llm_attention *a, const float *const *q, const float *keys, float *const *scores) {
    (void)rows;
    for (size_t key = 0; key < LLM_KEYS; key++) {
        scores[0][key] = product(LLM_ELEMENT_F32, q[0], keys, key * a->key_width, a->key_width);
    }
    return 1;
}

/// Scores of one query with eight keys, which begin at the elements `index` of the cache.
LLM_TEMPLATE void score_eight(
    llm_element element, int rows, const llm_attention *a, const size_t *index, const float *const *q,
    float *const *scores) {
    (void)rows;
    for (size_t key = 0; key < 8; key++) {
        scores[0][key] = product(element, q[0], a->keys, index[key], a->key_width);
    }
}

LLM_TEMPLATE void load_values(
    const llm_attention *a, llm_element element, size_t head, size_t start, size_t count, size_t columns,
    float *out) {
    for (size_t i = 0; i < count; i++, out += columns) {
        const size_t index = llm_cached(a, start + i, head, a->value_stride);
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

#define LLM_SCORE_ROWS(take) take(1)
#define LLM_ATTENTION_ROWS(take) take(3) take(2) take(1)

#include "attention_tiles.h"

void llm_neon_attend(const llm_attention *a) { attend_any(a); }

#pragma clang attribute pop

#else

typedef int llm_neon_attention_is_empty;

#endif
