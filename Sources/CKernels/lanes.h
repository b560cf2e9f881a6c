/// Arithmetic that all kernels share, so that they agree to the last bit: the reduction tree over eight
/// lanes, the exponential, and the nonlinearities.
#ifndef LLM_LANES_H
#define LLM_LANES_H

#include "include/CKernels.h"

#include <math.h>

#include "blocks.h"

#pragma STDC FP_CONTRACT OFF

/// The sum of eight lanes: halves, then quarters, then the last two.
static inline float llm_lane_sum(const float *lanes) {
    float a0 = lanes[0] + lanes[4], a1 = lanes[1] + lanes[5];
    float a2 = lanes[2] + lanes[6], a3 = lanes[3] + lanes[7];
    return (a0 + a2) + (a1 + a3);
}

// exp(x) = 2^n exp(r), where n is x / ln 2 rounded and |r| <= ln 2 / 2. The part of exp(r) above 1 + r is
// r² times a polynomial of degree 5 (minimax, 2 ulp). ln 2 is split so that n times its high part is exact.
#define LLM_EXP_LOWEST (-104.0f) // rounds to 0
#define LLM_EXP_HIGHEST 89.0f    // infinity
#define LLM_EXP_LOG2E 1.44269504088896341f
#define LLM_EXP_LN2_HIGH 0.693359375f
#define LLM_EXP_LN2_LOW (-2.12194440e-4f)
#define LLM_EXP_C5 1.9875691500e-4f
#define LLM_EXP_C4 1.3981999507e-3f
#define LLM_EXP_C3 8.3334519073e-3f
#define LLM_EXP_C2 4.1665795894e-2f
#define LLM_EXP_C1 1.6666665459e-1f
#define LLM_EXP_C0 5.0000001201e-1f

static inline float llm_power_of_two(int exponent) {
    return llm_float_of_bits((uint32_t)(exponent + 127) << 23);
}

/// `exp(r)` where |r| is at most half of log 2.
static inline float llm_exp_of_rest(float r) {
    float p = fmaf(LLM_EXP_C5, r, LLM_EXP_C4);
    p = fmaf(p, r, LLM_EXP_C3);
    p = fmaf(p, r, LLM_EXP_C2);
    p = fmaf(p, r, LLM_EXP_C1);
    p = fmaf(p, r, LLM_EXP_C0);
    return fmaf(p, r * r, r) + 1.0f;
}

/// `exp(x)`, within 2e-7 of it where the result is normal.
static inline float llm_exp(float x) {
    if (x != x) { return x; }
    x = x < LLM_EXP_LOWEST ? LLM_EXP_LOWEST : x;
    x = x > LLM_EXP_HIGHEST ? LLM_EXP_HIGHEST : x;
    float n = rintf(x * LLM_EXP_LOG2E);
    float r = fmaf(-n, LLM_EXP_LN2_LOW, fmaf(-n, LLM_EXP_LN2_HIGH, x));
    const float p = llm_exp_of_rest(r);
    // Two factors: 2^n itself need not be a number of this type.
    int exponent = (int)n, half = exponent >> 1;
    return p * llm_power_of_two(half) * llm_power_of_two(exponent - half);
}

static inline float llm_soft_cap(float x, float cap) {
    return cap * (1.0f - 2.0f / (llm_exp(2.0f * (x / cap)) + 1.0f));
}

#define LLM_SQRT_HALF 0.70710678118654752f
#define LLM_MINUS_TWO_SQRT_2_OVER_PI (-1.59576912160573071f)
#define LLM_MINUS_QUICK_GELU (-1.702f)
#define LLM_GELU_CUBIC 0.044715f

/// `function(x)`; the tanh form of gelu is written as x times a sigmoid.
static inline float llm_apply(llm_function function, float x) {
    switch (function) {
    case LLM_SILU: return x / (1.0f + llm_exp(-x));
    case LLM_GELU: return 0.5f * x * (1.0f + erff(x * LLM_SQRT_HALF));
    case LLM_GELU_TANH: {
        float inner = fmaf(LLM_GELU_CUBIC, x * x * x, x);
        return x / (1.0f + llm_exp(LLM_MINUS_TWO_SQRT_2_OVER_PI * inner));
    }
    case LLM_RELU: return 0.0f > x ? 0.0f : x;
    case LLM_QUICK_GELU: return x / (1.0f + llm_exp(LLM_MINUS_QUICK_GELU * x));
    }
    return x;
}

#endif
