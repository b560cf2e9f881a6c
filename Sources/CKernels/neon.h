/// Vectors of four, for 64-bit Arm with the dot product instructions.
#ifndef LLM_NEON_H
#define LLM_NEON_H

#include <arm_neon.h>

#include "kernels.h"
#include "lanes.h"
#include "panels.h"

#pragma STDC FP_CONTRACT OFF
#pragma clang attribute push(__attribute__((target("dotprod"))), apply_to = function)

// Loops over registers are templates: their bounds must be constants in the caller.
#define LLM_TEMPLATE static inline __attribute__((always_inline))
#define LLM_UNROLL _Pragma("clang loop unroll(full)")

enum { LLM_QUARTERS = 4 }; // vectors of a panel's outputs

LLM_TEMPLATE float32x4_t neon_halves(const uint8_t *bytes) {
    return vcvt_f32_f16(vreinterpret_f16_u16(vreinterpret_u16_u8(vld1_u8(bytes))));
}

LLM_TEMPLATE float32x4_t neon_of_bf16(const uint8_t *bytes) {
    return vreinterpretq_f32_u32(vshll_n_u16(vreinterpret_u16_u8(vld1_u8(bytes)), 16));
}

/// Four elements from `index` on, as float32.
LLM_TEMPLATE float32x4_t neon_elements(llm_element element, const void *base, size_t index) {
    if (element == LLM_ELEMENT_F32) { return vld1q_f32((const float *)base + index); }
    if (element == LLM_ELEMENT_I8) {
        int32_t word;
        memcpy(&word, (const int8_t *)base + index, sizeof word);
        const int16x8_t shorts = vmovl_s8(vreinterpret_s8_s32(vdup_n_s32(word)));
        return vcvtq_f32_s32(vmovl_s16(vget_low_s16(shorts)));
    }
    const uint8_t *bytes = (const uint8_t *)base + 2 * index;
    return element == LLM_ELEMENT_F16 ? neon_halves(bytes) : neon_of_bf16(bytes);
}

/// Writes the sums of a panel's outputs, plus their biases, to row `row`.
LLM_TEMPLATE void neon_store_outputs(
    const llm_matmul *p, size_t panel, size_t row, const float32x4_t *sums) {
    float all[LLM_PANEL];
    for (int i = 0; i < LLM_QUARTERS; i++) { vst1q_f32(all + 4 * i, sums[i]); }
    const size_t output = panel * LLM_PANEL, count = llm_smaller(p->outputs - output, LLM_PANEL);
    float *y = p->y + row * p->y_stride + output;
    for (size_t i = 0; i < count; i++) { y[i] = p->bias ? all[i] + p->bias[output + i] : all[i]; }
}

/// `llm_exp`.
LLM_TEMPLATE float32x4_t neon_exp(float32x4_t x) {
    float32x4_t bounded = vmaxnmq_f32(x, vdupq_n_f32(LLM_EXP_LOWEST));
    bounded = vminnmq_f32(bounded, vdupq_n_f32(LLM_EXP_HIGHEST));
    const float32x4_t n = vrndnq_f32(vmulq_f32(bounded, vdupq_n_f32(LLM_EXP_LOG2E)));
    float32x4_t r = vfmsq_f32(bounded, n, vdupq_n_f32(LLM_EXP_LN2_HIGH));
    r = vfmsq_f32(r, n, vdupq_n_f32(LLM_EXP_LN2_LOW));
    float32x4_t p = vfmaq_f32(vdupq_n_f32(LLM_EXP_C4), vdupq_n_f32(LLM_EXP_C5), r);
    p = vfmaq_f32(vdupq_n_f32(LLM_EXP_C3), p, r);
    p = vfmaq_f32(vdupq_n_f32(LLM_EXP_C2), p, r);
    p = vfmaq_f32(vdupq_n_f32(LLM_EXP_C1), p, r);
    p = vfmaq_f32(vdupq_n_f32(LLM_EXP_C0), p, r);
    p = vaddq_f32(vfmaq_f32(r, p, vmulq_f32(r, r)), vdupq_n_f32(1.0f));
    const int32x4_t exponent = vcvtq_s32_f32(n), half = vshrq_n_s32(exponent, 1);
    const int32x4_t rest = vsubq_s32(exponent, half), bias = vdupq_n_s32(127);
    p = vmulq_f32(p, vreinterpretq_f32_s32(vshlq_n_s32(vaddq_s32(half, bias), 23)));
    p = vmulq_f32(p, vreinterpretq_f32_s32(vshlq_n_s32(vaddq_s32(rest, bias), 23)));
    return vbslq_f32(vceqq_f32(x, x), p, x);
}

#pragma clang attribute pop

#endif
