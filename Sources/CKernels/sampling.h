/// The exponential of what is not positive, cheaper than the one of lanes.h.
#ifndef LLM_SAMPLING_H
#define LLM_SAMPLING_H

#include "lanes.h"

#pragma STDC FP_CONTRACT OFF

// Added to a float it leaves no room for a fraction, so that the sum's low bits hold the rounded number.
#define LLM_ROUNDER 12582912.0f
#define LLM_POWER_LOWEST (-86.0f) // 2^n is a normal number

/// `exp(x)` for `x <= 0`, within 2e-7 of it; never below 4e-38.
static inline float llm_power(float x) {
    if (x != x) { return x; }
    x = x < LLM_POWER_LOWEST ? LLM_POWER_LOWEST : x;
    float rounded = fmaf(x, LLM_EXP_LOG2E, LLM_ROUNDER), n = rounded - LLM_ROUNDER;
    float r = fmaf(-n, LLM_EXP_LN2_LOW, fmaf(-n, LLM_EXP_LN2_HIGH, x));
    const float p = llm_exp_of_rest(r);
    return llm_float_of_bits(llm_bits_of_float(p) + (llm_bits_of_float(rounded) << 23));
}

#endif
