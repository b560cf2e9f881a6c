#include "attention.h"

#pragma STDC FP_CONTRACT OFF

static float load(llm_element element, const void *cache, size_t index) {
    switch (element) {
    case LLM_ELEMENT_F32: return ((const float *)cache)[index];
    case LLM_ELEMENT_F16: return llm_float_of_f16(((const uint16_t *)cache)[index]);
    case LLM_ELEMENT_BF16: return llm_float_of_bf16(((const uint16_t *)cache)[index]);
    }
    return 0;
}

static void store(llm_element element, void *cache, size_t index, float value) {
    switch (element) {
    case LLM_ELEMENT_F32: ((float *)cache)[index] = value; break;
    case LLM_ELEMENT_F16: ((uint16_t *)cache)[index] = llm_f16_of_float(value); break;
    case LLM_ELEMENT_BF16: ((uint16_t *)cache)[index] = llm_bf16_of_float(value); break;
    }
}

void llm_scalar_store_rows(
    llm_element element, const float *x, size_t x_stride, size_t rows, size_t columns,
    const int32_t *slots, void *cache) {
    for (size_t row = 0; row < rows; row++) {
        size_t start = (size_t)slots[row] * columns;
        for (size_t i = 0; i < columns; i++) { store(element, cache, start + i, x[row * x_stride + i]); }
    }
}

size_t llm_scalar_attention_scratch(size_t queries, size_t key_width, size_t value_width) {
    return llm_attention_floats(queries, key_width, value_width);
}

void llm_scalar_combine(const llm_attention *a, size_t count, size_t stride) {
    const size_t queries = llm_queries_of_head(a) * (a->last_kv_head - a->first_kv_head);
    const size_t size = a->value_width + 2;
    float *totals = a->state;
    for (size_t part = 1; part < count; part++) {
        for (size_t query = 0; query < queries; query++) {
            const float *state = a->state + part * stride + query * size;
            llm_merge(totals + query * size, state[0], state[1], state + 2, a->value_width);
        }
    }
    llm_finish(a, totals);
}

static float score(const llm_attention *a, size_t query, size_t position) {
    const float *q = llm_query(a, query);
    const size_t head = llm_place(a, query).query_head / (a->query_heads / a->kv_heads);
    const size_t start = llm_cached(a, position, head, a->key_width);
    float sum = 0;
    for (size_t i = 0; i < a->key_width; i++) {
        sum = fmaf(load(a->element, a->keys, start + i), q[i], sum);
    }
    const float scaled = a->has_softcap ? llm_soft_cap(sum * a->scale, a->softcap) : sum * a->scale;
    if (!a->slopes) { return scaled; }
    const llm_bias bias = llm_bias_of(a, query, position);
    return scaled + bias.slope * (float)bias.offset;
}

/// Takes the block from `start` into the part's state of one query.
static void add_block(const llm_attention *a, const llm_attention_memory *m, size_t query, size_t start) {
    const llm_span span = llm_seen(a, query, start);
    if (span.first >= span.last) { return; }
    const size_t head = llm_place(a, query).query_head / (a->query_heads / a->kv_heads);
    float *scores = m->scores + query * LLM_KEYS, *sums = m->sums + query * m->columns;
    float *lanes = m->lanes + query * LLM_LANES, largest = m->largest[query];
    for (size_t i = span.first; i < span.last; i++) {
        scores[i] = score(a, query, start + i);
        largest = scores[i] > largest ? scores[i] : largest;
    }
    const float factor = m->largest[query] == largest ? 1.0f : llm_exp(m->largest[query] - largest);
    m->largest[query] = largest;
    for (size_t i = 0; i < LLM_LANES; i++) { lanes[i] *= factor; }
    for (size_t i = 0; i < a->value_width; i++) { sums[i] *= factor; }
    for (size_t i = span.first; i < span.last; i++) {
        const float weight = llm_exp(scores[i] - largest);
        lanes[i % LLM_LANES] += weight;
        const size_t value = llm_cached(a, start + i, head, a->value_width);
        for (size_t column = 0; column < a->value_width; column++) {
            sums[column] = fmaf(weight, load(a->element, a->values, value + column), sums[column]);
        }
    }
}

void llm_scalar_attend(const llm_attention *a) {
    const llm_attention_memory m = llm_lay_out(a);
    llm_begin_totals(a, &m);
    for (size_t part = a->first_part; part < a->last_part; part++) {
        const llm_span span = llm_part_span(a, part);
        llm_begin_part(&m);
        for (size_t start = span.first; start < span.last; start += LLM_KEYS) {
            for (size_t query = 0; query < m.queries; query++) { add_block(a, &m, query, start); }
        }
        llm_end_part(a, &m);
    }
    llm_end_totals(a, &m);
}
