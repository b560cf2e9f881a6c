#if defined(__x86_64__)

#include "avx2.h"

#pragma STDC FP_CONTRACT OFF
#pragma clang attribute push(__attribute__((target("avx2,fma,f16c"))), apply_to = function)

LLM_TEMPLATE int lane_total(__m256i values) {
    __m128i four = _mm_add_epi32(_mm256_castsi256_si128(values), _mm256_extracti128_si256(values, 1));
    __m128i two = _mm_add_epi32(four, _mm_shuffle_epi32(four, 0x4e));
    return _mm_cvtsi128_si32(_mm_add_epi32(two, _mm_shuffle_epi32(two, 0xb1)));
}

/// The bits of the largest magnitude: they order like the numbers, infinity and NaN last.
static uint32_t largest_magnitude(const float *x, size_t count) {
    __m256i largest = _mm256_setzero_si256();
    for (size_t i = 0; i < count; i += 8) {
        __m256i bits = _mm256_castps_si256(_mm256_loadu_ps(x + i));
        largest = _mm256_max_epi32(largest, _mm256_and_si256(bits, _mm256_set1_epi32(0x7fffffff)));
    }
    return avx2_largest_lane(largest);
}

static void quantize_block(
    const float *x, size_t shared, uint32_t largest, int8_t *q, llm_row_scales *scales) {
    float maximum = llm_float_of_bits(largest);
    if (largest >= 0x7f800000 || maximum < 1e-30f) {
        memset(q, 0, LLM_BLOCK);
        llm_set_scales(scales, shared, maximum < 1e-30f ? 0 : NAN);
        return;
    }
    __m256 inverse = _mm256_set1_ps(127.0f / maximum);
    __m256i words[4];
    for (int i = 0; i < 4; i++) {
        words[i] = _mm256_cvtps_epi32(_mm256_mul_ps(_mm256_loadu_ps(x + 8 * i), inverse));
    }
    int first = lane_total(_mm256_add_epi32(words[0], words[1]));
    int last = lane_total(_mm256_add_epi32(words[2], words[3]));
    __m256i low = _mm256_packs_epi32(words[0], words[1]), high = _mm256_packs_epi32(words[2], words[3]);
    // Packing works within halves: groups of four come out as 0, 2, 4, 6, 1, 3, 5, 7.
    __m256i order = _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7);
    __m256i bytes = _mm256_permutevar8x32_epi32(_mm256_packs_epi16(low, high), order);
    _mm256_storeu_si256((void *)q, bytes);
    *scales = llm_scales_of(maximum, first, last, shared);
}

void llm_avx2_quantize_rows(
    const float *x, size_t x_stride, size_t rows, size_t inputs, size_t shared, size_t first_tile,
    size_t last_tile, void *out) {
    llm_quantize_tiles(
        x, x_stride, rows, inputs, shared, first_tile, last_tile, out, largest_magnitude, quantize_block);
}

#pragma clang attribute pop

#else

typedef int llm_avx2_quantize_is_empty;

#endif
