/// What the attention kernels share: the blocks and parts of a sequence, scratch memory, and how the states
/// of parts become one.
#ifndef LLM_ATTENTION_H
#define LLM_ATTENTION_H

#include "kernels.h"
#include "lanes.h"

#pragma STDC FP_CONTRACT OFF

enum {
    LLM_KEYS = 32,  // positions of a block
    LLM_PART = 256, // positions of a part
};

/// Scratch memory for `queries` queries, one for each row and head.
typedef struct {
    /// `key_width` rows of 32: the keys of a block, one column each.
    float *keys;
    /// 32 rows of `columns`, the values of a block.
    float *values;
    /// For each query 32 scores, then exponentials.
    float *scores;
    /// For each query `columns` weighted sums of values of the part.
    float *sums;
    /// For each query 8 interleaved sums of exponentials of the part.
    float *lanes;
    /// For each query the largest score of the part.
    float *largest;
    /// For each query what the sums before the current block are multiplied with.
    float *factors;
    /// For each query the state of the parts so far: maximum, sum, sums of values.
    float *totals;
    /// Scales of a block's keys, then of its values, where the cache holds int8.
    float *scales;
    /// `value_width` rounded up to whole blocks of 32.
    size_t columns;
    size_t queries;
} llm_attention_memory;

static inline size_t llm_attention_columns(size_t value_width) { return (value_width + 31) / 32 * 32; }

static inline size_t llm_attention_floats(size_t queries, size_t key_width, size_t value_width) {
    const size_t columns = llm_attention_columns(value_width);
    return LLM_KEYS * (2 + key_width + columns + queries) + queries * (columns + LLM_LANES + 4 + value_width);
}

/// The product of a query and a key is sixteen sums, column `i` in sum `i % 16`, which are added in pairs that
/// lie eight apart, then four, two and one.
static inline float llm_sixteen_sum(float *lanes) {
    for (size_t half = 8; half > 0; half /= 2) {
        for (size_t i = 0; i < half; i++) { lanes[i] += lanes[i + half]; }
    }
    return lanes[0];
}

/// Queries of one key-value head.
static inline size_t llm_queries_of_head(const llm_attention *a) { return a->rows * a->group; }

/// What query number `query` is: the heads come one after the other, then rows, then the query heads of a
/// group.
typedef struct { size_t row, query_head, kv_head; } llm_query_place;

static inline llm_query_place llm_place(const llm_attention *a, size_t query) {
    const size_t head = query / llm_queries_of_head(a), rest = query % llm_queries_of_head(a);
    return (llm_query_place){
        rest / a->group, a->first_query_head + head * a->group + rest % a->group, a->first_kv_head + head};
}

static inline llm_attention_memory llm_lay_out(const llm_attention *a) {
    llm_attention_memory m = {.columns = llm_attention_columns(a->value_width)};
    m.queries = llm_queries_of_head(a) * (a->last_kv_head - a->first_kv_head);
    m.keys = a->scratch;
    m.values = m.keys + LLM_KEYS * a->key_width;
    m.scores = m.values + LLM_KEYS * m.columns;
    m.sums = m.scores + LLM_KEYS * m.queries;
    m.lanes = m.sums + m.queries * m.columns;
    m.largest = m.lanes + m.queries * LLM_LANES;
    m.factors = m.largest + m.queries;
    m.scales = m.factors + m.queries;
    m.totals = m.scales + 2 * LLM_KEYS;
    return m;
}

static inline size_t llm_element_bytes(llm_element element) {
    return element == LLM_ELEMENT_F32 ? 4 : element == LLM_ELEMENT_I8 ? 1 : 2;
}

static inline const float *llm_query(const llm_attention *a, size_t query) {
    const llm_query_place place = llm_place(a, query);
    return a->q + place.row * a->q_stride + place.query_head * a->key_width;
}

/// Where a row stands.
static inline size_t llm_position(const llm_attention *a, size_t row) { return a->first_position + row * a->row_step; }

/// The position after those that the call's last row sees.
static inline size_t llm_positions_end(const llm_attention *a) { return llm_position(a, a->rows - 1) + 1; }

/// The element of the cache at which head `head` of a position's key or value of `width` columns begins.
static inline size_t llm_cached(const llm_attention *a, size_t position, size_t head, size_t width) {
    return ((size_t)a->slots[position] * a->kv_heads + head) * width;
}

/// Fetches the scales of one head of a block from `start`; positions after the `count` that exist get zeros.
static inline void llm_load_scales(
    const llm_attention *a, const llm_attention_memory *m, size_t head, size_t start, size_t count) {
    memset(m->scales, 0, 2 * LLM_KEYS * sizeof *m->scales);
    for (size_t i = 0; i < count; i++) {
        const size_t index = (size_t)a->slots[start + i] * a->kv_heads + head;
        m->scales[i] = llm_float_of_bf16(a->key_scales[index]);
        m->scales[LLM_KEYS + i] = llm_float_of_bf16(a->value_scales[index]);
    }
}

/// The scale of a head whose largest magnitude has the bits `largest`, and what its numbers are multiplied
/// with before they are rounded.
typedef struct {
    uint16_t scale;
    float inverse;
} llm_head_scale;

static inline llm_head_scale llm_head_scale_of(uint32_t largest) {
    const float maximum = llm_float_of_bits(largest);
    if (largest >= 0x7f800000) { return (llm_head_scale){llm_bf16_of_float(NAN), 0}; }
    if (maximum < 1e-30f) { return (llm_head_scale){0, 0}; }
    const uint16_t scale = llm_bf16_of_float(maximum / 127.0f);
    return (llm_head_scale){scale, 1.0f / llm_float_of_bf16(scale)};
}

/// The positions `first ..< last` of a block of 32 from `start` that a query sees; `first >= last` for none.
typedef struct {
    size_t first, last;
} llm_span;

/// Whether the pattern of blocks lets a query see the block of 32 from `start`.
static inline bool llm_sees_block(const llm_attention *a, llm_query_place place, size_t start) {
    if (a->block_positions == 0) { return true; }
    const size_t own = llm_position(a, place.row) / a->block_positions, block = start / a->block_positions;
    return own < block + a->near_blocks ||
           (block + 1 + (a->first_head + place.query_head) * a->head_step) % a->block_stride == 0;
}

/// What a query's score with position `start + i` gains: `slope * (offset + i)`.
typedef struct {
    float slope;
    int offset;
} llm_bias;

static inline llm_bias llm_bias_of(const llm_attention *a, size_t query, size_t start) {
    const llm_query_place place = llm_place(a, query);
    return (llm_bias){a->slopes ? a->slopes[place.query_head] : 0,
                      (int)start - (int)llm_position(a, place.row)};
}

static inline llm_span llm_seen(const llm_attention *a, size_t query, size_t start) {
    const llm_query_place place = llm_place(a, query);
    if (!llm_sees_block(a, place, start)) { return (llm_span){0, 0}; }
    const size_t end = llm_position(a, place.row) + 1;
    const size_t first = end > a->window ? end - a->window : 0;
    llm_span span = {first > start ? first - start : 0, end > start ? end - start : 0};
    if (span.last > LLM_KEYS) { span.last = LLM_KEYS; }
    return span;
}

/// The positions `first ..< last` that any row of the call sees in a part, from the start of a block.
static inline llm_span llm_part_span(const llm_attention *a, size_t part) {
    const size_t end = llm_positions_end(a), least = a->first_position + 1;
    const size_t first = least > a->window ? (least - a->window) / LLM_KEYS * LLM_KEYS : 0;
    llm_span span = {part * LLM_PART, (part + 1) * LLM_PART};
    if (span.first < first) { span.first = first; }
    if (span.last > end) { span.last = end; }
    return span;
}

/// Fetches what the positions `first ..< last`, as far as they exist, have in `cache`: all heads of the call,
/// `width` elements each, which lie side by side. Where the slots are the processor cannot foresee.
static inline void llm_prefetch(
    const llm_attention *a, const void *cache, size_t width, size_t first, size_t last) {
    const size_t end = llm_smaller(last, llm_positions_end(a)), element = llm_element_bytes(a->element);
    const size_t bytes = (a->last_kv_head - a->first_kv_head) * width * element;
    for (size_t position = first; position < end; position++) {
        const uint8_t *row = (const uint8_t *)cache + llm_cached(a, position, a->first_kv_head, width) * element;
        for (size_t i = 0; i < bytes; i += 64) { __builtin_prefetch(row + i, 0, 2); }
    }
}

/// Adds a part's state to `total`. A state that has seen nothing has a maximum of -infinity and a sum of 0.
static inline void llm_merge(float *total, float largest, float sum, const float *sums, size_t columns) {
    if (largest == -INFINITY && sum == 0) { return; }
    if (total[0] == -INFINITY && total[1] == 0) {
        total[0] = largest;
        total[1] = sum;
        memcpy(total + 2, sums, columns * sizeof *sums);
        return;
    }
    const float both = largest > total[0] ? largest : total[0];
    const float mine = llm_exp(total[0] - both), theirs = llm_exp(largest - both);
    total[0] = both;
    total[1] = total[1] * mine + sum * theirs;
    for (size_t i = 0; i < columns; i++) { total[2 + i] = total[2 + i] * mine + sums[i] * theirs; }
}

/// Writes the results of queries whose states are at `totals`, one after the other.
static inline void llm_finish(const llm_attention *a, const float *totals) {
    const size_t queries = llm_queries_of_head(a) * (a->last_kv_head - a->first_kv_head);
    for (size_t query = 0; query < queries; query++, totals += a->value_width + 2) {
        const llm_query_place place = llm_place(a, query);
        float *y = a->y + place.row * a->y_stride + place.query_head * a->value_width;
        const bool seen = !(totals[0] == -INFINITY && totals[1] == 0);
        const float inverse = seen ? 1.0f / totals[1] : 0.0f;
        for (size_t i = 0; i < a->value_width; i++) { y[i] = seen ? totals[2 + i] * inverse : 0.0f; }
    }
}

/// Makes every query's total, or part, a state that has seen nothing.
static inline void llm_begin_totals(const llm_attention *a, const llm_attention_memory *m) {
    for (size_t query = 0; query < m->queries; query++) {
        m->totals[query * (a->value_width + 2)] = -INFINITY;
        m->totals[query * (a->value_width + 2) + 1] = 0;
    }
}

static inline void llm_begin_part(const llm_attention_memory *m) {
    memset(m->sums, 0, m->queries * m->columns * sizeof *m->sums);
    memset(m->lanes, 0, m->queries * LLM_LANES * sizeof *m->lanes);
    for (size_t query = 0; query < m->queries; query++) { m->largest[query] = -INFINITY; }
}

static inline void llm_end_part(const llm_attention *a, const llm_attention_memory *m) {
    for (size_t query = 0; query < m->queries; query++) {
        const float sum = llm_lane_sum(m->lanes + query * LLM_LANES);
        llm_merge(
            m->totals + query * (a->value_width + 2), m->largest[query], sum,
            m->sums + query * m->columns, a->value_width);
    }
}

/// Gives the caller the states or the result.
static inline void llm_end_totals(const llm_attention *a, const llm_attention_memory *m) {
    if (a->state) {
        memcpy(a->state, m->totals, m->queries * (a->value_width + 2) * sizeof *m->totals);
    } else {
        llm_finish(a, m->totals);
    }
}

#endif
