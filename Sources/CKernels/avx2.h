/// Vectors of eight floats: the lanes of lanes.h as one register.
///
/// Everything here computes what its scalar twin computes, to the last bit (NaNs may differ in sign).
#ifndef LLM_AVX2_H
#define LLM_AVX2_H

#include <immintrin.h>

#include "kernels.h"
#include "lanes.h"
#include "panels.h"

#pragma STDC FP_CONTRACT OFF
#pragma clang attribute push(__attribute__((target("avx2,fma,f16c"))), apply_to = function)

// Loops over registers are templates: their bounds must be constants in the caller.
#define LLM_TEMPLATE static inline __attribute__((always_inline))
#define LLM_UNROLL _Pragma("clang loop unroll(full)")

/// All bits of the first `count` lanes; `count` is at most 8.
LLM_TEMPLATE __m256i avx2_mask(size_t count) {
    static const int32_t bits[16] = {-1, -1, -1, -1, -1, -1, -1, -1};
    return _mm256_loadu_si256((const void *)(bits + 8 - count));
}

/// The first `count` of eight floats, then zeros.
LLM_TEMPLATE __m256 avx2_load(const float *x, size_t count) {
    return count >= 8 ? _mm256_loadu_ps(x) : _mm256_maskload_ps(x, avx2_mask(count));
}

LLM_TEMPLATE void avx2_store(float *y, size_t count, __m256 value) {
    if (count >= 8) {
        _mm256_storeu_ps(y, value);
    } else {
        _mm256_maskstore_ps(y, avx2_mask(count), value);
    }
}

/// The first `count` of eight 16-bit elements, then zeros.
LLM_TEMPLATE __m128i avx2_load_halves(const void *address, size_t count) {
    if (count >= 8) { return _mm_loadu_si128(address); }
    uint16_t halves[8] = {0};
    memcpy(halves, address, count * sizeof *halves);
    return _mm_loadu_si128((const void *)halves);
}

LLM_TEMPLATE __m256 avx2_of_bf16(__m128i halves) {
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(halves), 16));
}

/// The first `count` of eight signed bytes, then zeros, as float32.
LLM_TEMPLATE __m256 avx2_load_bytes(const int8_t *address, size_t count) {
    int8_t bytes[8] = {0};
    if (count < 8) {
        memcpy(bytes, address, count);
        address = bytes;
    }
    return _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_loadl_epi64((const void *)address)));
}

/// The first `count` of eight elements from `index`, as float32.
LLM_TEMPLATE __m256 avx2_load_element(llm_element element, const void *base, size_t index, size_t count) {
    if (element == LLM_ELEMENT_F32) { return avx2_load((const float *)base + index, count); }
    if (element == LLM_ELEMENT_I8) { return avx2_load_bytes((const int8_t *)base + index, count); }
    __m128i halves = avx2_load_halves((const uint16_t *)base + index, count);
    return element == LLM_ELEMENT_F16 ? _mm256_cvtph_ps(halves) : avx2_of_bf16(halves);
}

/// Writes the sums of a panel's outputs, plus their biases, to row `row`.
LLM_TEMPLATE void avx2_store_outputs(const llm_matmul *p, size_t panel, size_t row, const __m256 *sums) {
    for (size_t half = 0; half < 2; half++) {
        const size_t output = panel * LLM_PANEL + 8 * half;
        if (output >= p->outputs) { return; }
        const size_t count = p->outputs - output;
        __m256 sum = p->bias ? _mm256_add_ps(sums[half], avx2_load(p->bias + output, count)) : sums[half];
        avx2_store(p->y + row * p->y_stride + output, count, sum);
    }
}

/// The largest of eight numbers.
LLM_TEMPLATE uint32_t avx2_largest_lane(__m256i values) {
    __m128i four = _mm_max_epi32(_mm256_castsi256_si128(values), _mm256_extracti128_si256(values, 1));
    __m128i two = _mm_max_epi32(four, _mm_shuffle_epi32(four, 0x4e));
    return (uint32_t)_mm_cvtsi128_si32(_mm_max_epi32(two, _mm_shuffle_epi32(two, 0xb1)));
}

/// `llm_lane_sum`.
LLM_TEMPLATE float avx2_lane_sum(__m256 lanes) {
    __m128 four = _mm_add_ps(_mm256_castps256_ps128(lanes), _mm256_extractf128_ps(lanes, 1));
    __m128 two = _mm_add_ps(four, _mm_movehl_ps(four, four));
    return _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)));
}

/// `llm_exp_of_rest`.
LLM_TEMPLATE __m256 avx2_exp_of_rest(__m256 r) {
    __m256 p = _mm256_fmadd_ps(_mm256_set1_ps(LLM_EXP_C5), r, _mm256_set1_ps(LLM_EXP_C4));
    p = _mm256_fmadd_ps(p, r, _mm256_set1_ps(LLM_EXP_C3));
    p = _mm256_fmadd_ps(p, r, _mm256_set1_ps(LLM_EXP_C2));
    p = _mm256_fmadd_ps(p, r, _mm256_set1_ps(LLM_EXP_C1));
    p = _mm256_fmadd_ps(p, r, _mm256_set1_ps(LLM_EXP_C0));
    p = _mm256_fmadd_ps(p, _mm256_mul_ps(r, r), r);
    return _mm256_add_ps(p, _mm256_set1_ps(1.0f));
}

/// `llm_exp`.
LLM_TEMPLATE __m256 avx2_exp(__m256 x) {
    __m256 bounded = _mm256_max_ps(x, _mm256_set1_ps(LLM_EXP_LOWEST));
    bounded = _mm256_min_ps(bounded, _mm256_set1_ps(LLM_EXP_HIGHEST));
    __m256 n = _mm256_mul_ps(bounded, _mm256_set1_ps(LLM_EXP_LOG2E));
    n = _mm256_round_ps(n, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
    __m256 r = _mm256_fnmadd_ps(n, _mm256_set1_ps(LLM_EXP_LN2_HIGH), bounded);
    r = _mm256_fnmadd_ps(n, _mm256_set1_ps(LLM_EXP_LN2_LOW), r);
    __m256 p = avx2_exp_of_rest(r);
    __m256i exponent = _mm256_cvtps_epi32(n), half = _mm256_srai_epi32(exponent, 1);
    __m256i rest = _mm256_sub_epi32(exponent, half), bias = _mm256_set1_epi32(127);
    __m256i first = _mm256_slli_epi32(_mm256_add_epi32(half, bias), 23);
    __m256i second = _mm256_slli_epi32(_mm256_add_epi32(rest, bias), 23);
    p = _mm256_mul_ps(_mm256_mul_ps(p, _mm256_castsi256_ps(first)), _mm256_castsi256_ps(second));
    return _mm256_blendv_ps(p, x, _mm256_cmp_ps(x, x, _CMP_UNORD_Q));
}

/// The largest element; NaNs are passed over, minus infinity when nothing else is there.
LLM_TEMPLATE float avx2_largest(const float *x, size_t count) {
    __m256 largest[4];
    for (int k = 0; k < 4; k++) { largest[k] = _mm256_set1_ps(-INFINITY); }
    size_t i = 0;
    for (; i + 32 <= count; i += 32) {
        for (int k = 0; k < 4; k++) {
            largest[k] = _mm256_max_ps(_mm256_loadu_ps(x + i + 8 * (size_t)k), largest[k]);
        }
    }
    for (int k = 1; k < 4; k++) { largest[0] = _mm256_max_ps(largest[k], largest[0]); }
    for (; i + 8 <= count; i += 8) { largest[0] = _mm256_max_ps(_mm256_loadu_ps(x + i), largest[0]); }
    float lanes[8], result = -INFINITY;
    _mm256_storeu_ps(lanes, largest[0]);
    for (int k = 0; k < 8; k++) { result = lanes[k] > result ? lanes[k] : result; }
    for (; i < count; i++) { result = x[i] > result ? x[i] : result; }
    return result;
}

#pragma clang attribute pop

#endif
