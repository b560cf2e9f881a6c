#if defined(__x86_64__)

#include "avx2.h"
#include "sampling.h"

#pragma STDC FP_CONTRACT OFF
#pragma clang attribute push(__attribute__((target("avx2,fma,f16c"))), apply_to = function)

/// The largest of eight lanes.
LLM_TEMPLATE float largest_lane(__m256 lanes) {
    __m128 four = _mm_max_ps(_mm256_castps256_ps128(lanes), _mm256_extractf128_ps(lanes, 1));
    __m128 two = _mm_max_ps(four, _mm_movehl_ps(four, four));
    return _mm_cvtss_f32(_mm_max_ss(two, _mm_movehdup_ps(two)));
}

/// `avx2_largest` of a whole block. The element comes first: where it is not a number, the maximum is the
/// second.
LLM_TEMPLATE float block_largest(const float *x) {
    __m256 a = _mm256_set1_ps(-INFINITY), b = a;
    for (size_t i = 0; i < LLM_MAXIMA_BLOCK; i += 16) {
        a = _mm256_max_ps(_mm256_loadu_ps(x + i), a);
        b = _mm256_max_ps(_mm256_loadu_ps(x + i + 8), b);
    }
    return largest_lane(_mm256_max_ps(a, b));
}

float llm_avx2_block_maxima(const float *x, size_t count, float *maxima) {
    float all = -INFINITY;
    for (size_t start = 0; start < count; start += LLM_MAXIMA_BLOCK) {
        size_t rest = count - start;
        float largest = rest < LLM_MAXIMA_BLOCK ? avx2_largest(x + start, rest) : block_largest(x + start);
        maxima[start / LLM_MAXIMA_BLOCK] = largest;
        all = largest > all ? largest : all;
    }
    return all;
}

/// `llm_power`.
LLM_TEMPLATE __m256 power(__m256 x) {
    // The bound comes first: where x is not a number, the maximum is the second.
    __m256 bounded = _mm256_max_ps(_mm256_set1_ps(LLM_POWER_LOWEST), x);
    __m256 rounder = _mm256_set1_ps(LLM_ROUNDER);
    __m256 rounded = _mm256_fmadd_ps(bounded, _mm256_set1_ps(LLM_EXP_LOG2E), rounder);
    __m256 n = _mm256_sub_ps(rounded, rounder);
    __m256 r = _mm256_fnmadd_ps(n, _mm256_set1_ps(LLM_EXP_LN2_HIGH), bounded);
    r = _mm256_fnmadd_ps(n, _mm256_set1_ps(LLM_EXP_LN2_LOW), r);
    __m256 p = avx2_exp_of_rest(r);
    __m256i exponent = _mm256_slli_epi32(_mm256_castps_si256(rounded), 23);
    p = _mm256_castsi256_ps(_mm256_add_epi32(_mm256_castps_si256(p), exponent));
    return _mm256_blendv_ps(p, x, _mm256_cmp_ps(x, x, _CMP_UNORD_Q));
}

float llm_avx2_sum_exp(const float *x, size_t count, float shift, float scale) {
    __m256 lanes = _mm256_setzero_ps();
    __m256 subtracted = _mm256_set1_ps(shift), factor = _mm256_set1_ps(scale);
    size_t i = 0;
    for (; i + 8 <= count; i += 8) {
        __m256 scaled = _mm256_mul_ps(_mm256_sub_ps(_mm256_loadu_ps(x + i), subtracted), factor);
        lanes = _mm256_add_ps(lanes, power(scaled));
    }
    if (i < count) {
        __m256 scaled = _mm256_mul_ps(_mm256_sub_ps(avx2_load(x + i, count - i), subtracted), factor);
        __m256 mask = _mm256_castsi256_ps(avx2_mask(count - i));
        lanes = _mm256_add_ps(lanes, _mm256_and_ps(power(scaled), mask));
    }
    return avx2_lane_sum(lanes);
}

size_t llm_avx2_collect(
    const float *x, size_t count, const float *maxima, float threshold, uint32_t *indices) {
    size_t found = 0;
    __m256 least = _mm256_set1_ps(threshold);
    for (size_t start = 0; start < count; start += LLM_MAXIMA_BLOCK) {
        if (maxima[start / LLM_MAXIMA_BLOCK] < threshold) { continue; }
        size_t end = llm_smaller(start + LLM_MAXIMA_BLOCK, count);
        for (size_t i = start; i < end; i += 8) {
            __m256 reaches = _mm256_cmp_ps(avx2_load(x + i, end - i), least, _CMP_GE_OQ);
            uint32_t bits = (uint32_t)_mm256_movemask_ps(reaches);
            if (end - i < 8) { bits &= (1u << (end - i)) - 1; }
            for (; bits; bits &= bits - 1) { indices[found++] = (uint32_t)i + (uint32_t)__builtin_ctz(bits); }
        }
    }
    return found;
}

#pragma clang attribute pop

#else

typedef int llm_avx2_sampling_is_empty;

#endif
