#if defined(__aarch64__)

#include "neon.h"

#pragma STDC FP_CONTRACT OFF
#pragma clang attribute push(__attribute__((target("dotprod"))), apply_to = function)

/// The bits of the largest magnitude: they order like the numbers, infinity and NaN last.
static uint32_t largest_magnitude(const float *x, size_t count) {
    uint32x4_t largest = vdupq_n_u32(0);
    for (size_t i = 0; i < count; i += 4) {
        const uint32x4_t bits = vreinterpretq_u32_f32(vld1q_f32(x + i));
        largest = vmaxq_u32(largest, vandq_u32(bits, vdupq_n_u32(0x7fffffff)));
    }
    return vmaxvq_u32(largest);
}

static int quantize_half(const float *x, float inverse, int8_t *q) {
    int32x4_t words[4];
    for (int i = 0; i < 4; i++) { words[i] = vcvtnq_s32_f32(vmulq_n_f32(vld1q_f32(x + 4 * i), inverse)); }
    const int16x8_t low = vcombine_s16(vmovn_s32(words[0]), vmovn_s32(words[1]));
    const int16x8_t high = vcombine_s16(vmovn_s32(words[2]), vmovn_s32(words[3]));
    vst1q_s8(q, vcombine_s8(vmovn_s16(low), vmovn_s16(high)));
    return vaddlvq_s16(low) + vaddlvq_s16(high);
}

static void quantize_block(
    const float *x, size_t shared, uint32_t largest, int8_t *q, llm_row_scales *scales) {
    const float maximum = llm_float_of_bits(largest);
    if (largest >= 0x7f800000 || maximum < 1e-30f) {
        memset(q, 0, LLM_BLOCK);
        llm_set_scales(scales, shared, maximum < 1e-30f ? 0 : NAN);
        return;
    }
    const float inverse = 127.0f / maximum;
    const int first = quantize_half(x, inverse, q), last = quantize_half(x + 16, inverse, q + 16);
    *scales = llm_scales_of(maximum, first, last, shared);
}

void llm_neon_quantize_rows(
    const float *x, size_t x_stride, size_t rows, size_t inputs, size_t shared, size_t first_tile,
    size_t last_tile, void *out) {
    llm_quantize_tiles(
        x, x_stride, rows, inputs, shared, first_tile, last_tile, out, largest_magnitude, quantize_block);
}

#pragma clang attribute pop

#else

typedef int llm_neon_quantize_is_empty;

#endif
