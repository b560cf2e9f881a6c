#include "kernels.h"
#include "lanes.h"

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
    llm_element element, const float *x, size_t x_stride, size_t rows, size_t columns, const int32_t *slots,
    void *cache) {
    for (size_t row = 0; row < rows; row++) {
        size_t start = (size_t)slots[row] * columns;
        for (size_t i = 0; i < columns; i++) { store(element, cache, start + i, x[row * x_stride + i]); }
    }
}

static float score(const llm_attention *a, const float *q, size_t kv_head, size_t position) {
    size_t start = ((size_t)a->slots[position] * a->kv_heads + kv_head) * a->key_width;
    float lanes[LLM_LANES] = {0};
    // Lanes after the last column add 0 * 0, as whole vectors do.
    for (size_t i = 0; i < (a->key_width + LLM_LANES - 1) / LLM_LANES * LLM_LANES; i++) {
        bool inside = i < a->key_width;
        float key = inside ? load(a->element, a->keys, start + i) : 0.0f;
        lanes[i % LLM_LANES] = fmaf(inside ? q[i] : 0.0f, key, lanes[i % LLM_LANES]);
    }
    float scaled = llm_lane_sum(lanes) * a->scale;
    return a->has_softcap ? llm_soft_cap(scaled, a->softcap) : scaled;
}

/// Turns scores into exponentials and returns their sum.
static float exponentiate(float *scores, size_t count) {
    float largest = -INFINITY;
    for (size_t i = 0; i < count; i++) { largest = scores[i] > largest ? scores[i] : largest; }
    float lanes[LLM_LANES] = {0};
    for (size_t i = 0; i < count; i++) {
        scores[i] = llm_exp(scores[i] - largest);
        lanes[i % LLM_LANES] += scores[i];
    }
    return llm_lane_sum(lanes);
}

static void attend_head(const llm_attention *a, size_t head, size_t kv_head) {
    float *scores = a->scratch, *y = a->y + head * a->value_width;
    for (size_t i = 0; i < a->key_count; i++) {
        scores[i] = score(a, a->q + head * a->key_width, kv_head, a->first_key + i);
    }
    float sum = exponentiate(scores, a->key_count);
    for (size_t column = 0; column < a->value_width; column++) { y[column] = 0; }
    for (size_t i = 0; i < a->key_count; i++) {
        size_t slot = (size_t)a->slots[a->first_key + i];
        size_t start = (slot * a->kv_heads + kv_head) * a->value_width;
        for (size_t column = 0; column < a->value_width; column++) {
            y[column] = fmaf(scores[i], load(a->element, a->values, start + column), y[column]);
        }
    }
    float inverse = a->key_count ? 1.0f / sum : 0.0f;
    for (size_t column = 0; column < a->value_width; column++) { y[column] *= inverse; }
}

void llm_scalar_attend(const llm_attention *a) {
    size_t group = a->query_heads / a->kv_heads;
    for (size_t kv_head = a->first_kv_head; kv_head < a->last_kv_head; kv_head++) {
        for (size_t i = 0; i < group; i++) { attend_head(a, kv_head * group + i, kv_head); }
    }
}
