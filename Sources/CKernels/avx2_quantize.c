#if defined(__x86_64__)

#include "avx2.h"

#pragma STDC FP_CONTRACT OFF
#pragma clang attribute push(__attribute__((target("avx2,fma,f16c"))), apply_to = function)

LLM_TEMPLATE uint32_t largest_lane(__m256i values) {
    __m128i four = _mm_max_epi32(_mm256_castsi256_si128(values), _mm256_extracti128_si256(values, 1));
    __m128i two = _mm_max_epi32(four, _mm_shuffle_epi32(four, 0x4e));
    return (uint32_t)_mm_cvtsi128_si32(_mm_max_epi32(two, _mm_shuffle_epi32(two, 0xb1)));
}

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
    return largest_lane(largest);
}

static void quantize_block(
    const float *x, size_t block, uint32_t largest, llm_activation_chunk *chunk) {
    float maximum = llm_float_of_bits(largest);
    if (largest >= 0x7f800000 || maximum < 1e-30f) {
        float value = maximum < 1e-30f ? 0 : NAN;
        memset(chunk->q + block * LLM_BLOCK, 0, LLM_BLOCK);
        chunk->d[block] = chunk->sums32[block] = value;
        chunk->sums16[2 * block] = chunk->sums16[2 * block + 1] = value;
        return;
    }
    float d = maximum / 127.0f;
    __m256 inverse = _mm256_set1_ps(127.0f / maximum);
    __m256i q[4];
    for (int i = 0; i < 4; i++) {
        q[i] = _mm256_cvtps_epi32(_mm256_mul_ps(_mm256_loadu_ps(x + 8 * i), inverse));
    }
    int first = lane_total(_mm256_add_epi32(q[0], q[1])), second = lane_total(_mm256_add_epi32(q[2], q[3]));
    __m256i bytes = _mm256_packs_epi16(_mm256_packs_epi32(q[0], q[1]), _mm256_packs_epi32(q[2], q[3]));
    // Packing works within halves: groups of four come out as 0, 2, 4, 6, 1, 3, 5, 7.
    bytes = _mm256_permutevar8x32_epi32(bytes, _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7));
    _mm256_storeu_si256((void *)(chunk->q + block * LLM_BLOCK), bytes);
    chunk->d[block] = d;
    chunk->sums32[block] = d * (float)(first + second);
    chunk->sums16[2 * block] = d * (float)first;
    chunk->sums16[2 * block + 1] = d * (float)second;
}

void llm_avx2_quantize_rows(
    const float *x, size_t x_stride, size_t rows, size_t inputs, size_t shared, void *out) {
    size_t bytes = llm_scalar_quantized_row_bytes(inputs);
    for (size_t row = 0; row < rows; row++, x += x_stride) {
        llm_activation_chunk *chunks = (void *)((uint8_t *)out + row * bytes);
        if (inputs % LLM_CHUNK) { memset(chunks + inputs / LLM_CHUNK, 0, sizeof *chunks); }
        for (size_t start = 0; start < inputs; start += shared) {
            uint32_t largest = largest_magnitude(x + start, shared);
            for (size_t i = start; i < start + shared; i += LLM_BLOCK) {
                size_t block = i / LLM_BLOCK % LLM_CHUNK_BLOCKS;
                quantize_block(x + i, block, largest, chunks + i / LLM_CHUNK);
            }
        }
    }
}

#pragma clang attribute pop

#else

typedef int llm_avx2_quantize_is_empty;

#endif
