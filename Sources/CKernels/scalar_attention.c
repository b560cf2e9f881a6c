#include "attention.h"

#pragma STDC FP_CONTRACT OFF

static float load(llm_element element, const void *cache, size_t index) {
    switch (element) {
    case LLM_ELEMENT_F32: return ((const float *)cache)[index];
    case LLM_ELEMENT_F16: return llm_float_of_f16(((const uint16_t *)cache)[index]);
    case LLM_ELEMENT_BF16: return llm_float_of_bf16(((const uint16_t *)cache)[index]);
    case LLM_ELEMENT_I8: return ((const int8_t *)cache)[index];
    }
    return 0;
}

static void store(llm_element element, void *cache, size_t index, float value) {
    switch (element) {
    case LLM_ELEMENT_F32: ((float *)cache)[index] = value; break;
    case LLM_ELEMENT_F16: ((uint16_t *)cache)[index] = llm_f16_of_float(value); break;
    case LLM_ELEMENT_BF16: ((uint16_t *)cache)[index] = llm_bf16_of_float(value); break;
    case LLM_ELEMENT_I8: {
        const float rounded = rintf(value);
        ((int8_t *)cache)[index] = (int8_t)(rounded > 127 ? 127 : rounded < -127 ? -127 : rounded);
        break;
    }
    }
}

/// The scale of one head, and what its numbers are multiplied with.
static llm_head_scale head_scale(const float *x, size_t count) {
    uint32_t largest = 0;
    for (size_t i = 0; i < count; i++) {
        const uint32_t magnitude = llm_bits_of_float(x[i]) & 0x7fffffff;
        largest = magnitude > largest ? magnitude : largest;
    }
    return llm_head_scale_of(largest);
}

void llm_scalar_store_rows(const llm_store *s) {
    for (size_t row = 0; row < s->rows; row++) {
        for (size_t head = 0; head < s->heads; head++) {
            const float *x = s->x + row * s->x_stride + head * s->width;
            const size_t place = (size_t)s->slots[row] * s->heads + head;
            if (s->element != LLM_ELEMENT_I8) {
                for (size_t i = 0; i < s->width; i++) {
                    store(s->element, s->cache, place * s->width + i, x[i]);
                }
                continue;
            }
            const llm_head_scale scale = head_scale(x, s->width);
            s->scales[place] = scale.scale;
            for (size_t i = 0; i < s->width; i++) {
                const float value = scale.inverse == 0 ? 0 : x[i] * scale.inverse;
                store(s->element, s->cache, place * s->width + i, value);
            }
        }
    }
}

/// The fast Walsh-Hadamard transform of `count` numbers, a power of two.
static void spread(float *x, size_t count, float scale) {
    for (size_t half = 1; half < count; half *= 2) {
        for (size_t first = 0; first < count; first += 2 * half) {
            for (size_t i = first; i < first + half; i++) {
                const float a = x[i], b = x[i + half];
                x[i] = a + b;
                x[i + half] = a - b;
            }
        }
    }
    for (size_t i = 0; i < count; i++) { x[i] *= scale; }
}

void llm_scalar_spread_heads(float *x, size_t x_stride, size_t rows, size_t heads, size_t width) {
    size_t group = 1;
    while (group < 256 && width % (2 * group) == 0) { group *= 2; }
    const float scale = 1.0f / sqrtf((float)group);
    for (size_t row = 0; row < rows; row++, x += x_stride) {
        for (size_t column = 0; column < heads * width; column += group) { spread(x + column, group, scale); }
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
    const size_t head = llm_place(a, query).kv_head;
    const size_t start = llm_cached(a, position, head, a->key_width);
    float lanes[16] = {0};
    for (size_t i = 0; i < a->key_width; i++) {
        lanes[i % 16] = fmaf(load(a->element, a->keys, start + i), q[i], lanes[i % 16]);
    }
    float sum = llm_sixteen_sum(lanes);
    if (a->element == LLM_ELEMENT_I8) { sum *= llm_float_of_bf16(a->key_scales[start / a->key_width]); }
    const float scaled = a->has_softcap ? llm_soft_cap(sum * a->scale, a->softcap) : sum * a->scale;
    if (!a->slopes) { return scaled; }
    const llm_bias bias = llm_bias_of(a, query, position);
    return scaled + bias.slope * (float)bias.offset;
}

/// Takes the block from `start` into the part's state of one query.
static void add_block(const llm_attention *a, const llm_attention_memory *m, size_t query, size_t start) {
    const llm_span span = llm_seen(a, query, start);
    if (span.first >= span.last) { return; }
    const size_t head = llm_place(a, query).kv_head;
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
        float weight = llm_exp(scores[i] - largest);
        lanes[i % LLM_LANES] += weight;
        const size_t value = llm_cached(a, start + i, head, a->value_stride);
        if (a->element == LLM_ELEMENT_I8) {
            weight *= llm_float_of_bf16(a->value_scales[value / a->value_stride]);
        }
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
