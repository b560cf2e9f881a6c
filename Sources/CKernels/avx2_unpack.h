/// Unpacking of weight blocks into registers. Everything takes the encoding as a constant.
#ifndef LLM_AVX2_UNPACK_H
#define LLM_AVX2_UNPACK_H

#include "avx2.h"

#pragma clang attribute push(__attribute__((target("avx2,fma,f16c"))), apply_to = function)

/// Scales and minima of a chunk's 8 groups of 32 or 16 groups of 16.
typedef struct { __m256 scales[2], minima[2]; } avx2_scales;

LLM_TEMPLATE uint32_t avx2_u32(const void *address) {
    uint32_t value;
    memcpy(&value, address, sizeof value);
    return value;
}

LLM_TEMPLATE short avx2_i16(const void *address) {
    short value;
    memcpy(&value, address, sizeof value);
    return value;
}

LLM_TEMPLATE __m256 avx2_half(const void *address) {
    return _mm256_cvtph_ps(_mm_set1_epi16(avx2_i16(address)));
}

/// Eight bytes as floats.
LLM_TEMPLATE __m256 avx2_of_u8(__m128i bytes) { return _mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(bytes)); }
LLM_TEMPLATE __m256 avx2_of_i8(__m128i bytes) { return _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(bytes)); }

LLM_TEMPLATE __m256i avx2_nibbles(const uint8_t *q) {
    __m128i bytes = _mm_loadu_si128((const void *)q);
    __m256i both = _mm256_inserti128_si256(_mm256_castsi128_si256(bytes), _mm_srli_epi16(bytes, 4), 1);
    return _mm256_and_si256(both, _mm256_set1_epi8(15));
}

/// Byte `i` is 16 where bit `i` is set.
LLM_TEMPLATE __m256i avx2_fifth_bits(uint32_t bits) {
    const __m256i byte_of = _mm256_setr_epi64x(
        0, 0x0101010101010101, 0x0202020202020202, 0x0303030303030303);
    const __m256i bit_of = _mm256_set1_epi64x((long long)0x8040201008040201);
    __m256i spread = _mm256_shuffle_epi8(_mm256_set1_epi32((int)bits), byte_of);
    __m256i set = _mm256_cmpeq_epi8(_mm256_and_si256(spread, bit_of), bit_of);
    return _mm256_and_si256(set, _mm256_set1_epi8(16));
}

/// The `mask` bits from `shift` of every byte.
LLM_TEMPLATE __m256i avx2_bits(const uint8_t *bytes, int shift, char mask) {
    __m256i value = _mm256_loadu_si256((const void *)bytes);
    return _mm256_and_si256(_mm256_srli_epi16(value, shift), _mm256_set1_epi8(mask));
}

/// Block `index` of the chunk at `bytes`, as 32 integers.
LLM_TEMPLATE __m256i avx2_block(llm_encoding encoding, const uint8_t *bytes, int index) {
    const uint8_t *start = bytes + (size_t)index * llm_block_bytes(encoding); // where blocks are of 32
    switch (encoding) {
    case LLM_Q4_0: return avx2_nibbles(((const llm_q4_0 *)start)->q);
    case LLM_Q4_1: return avx2_nibbles(((const llm_q4_1 *)start)->q);
    case LLM_Q5_0: {
        const llm_q5_0 *block = (const void *)start;
        return _mm256_or_si256(avx2_nibbles(block->q), avx2_fifth_bits(avx2_u32(block->high)));
    }
    case LLM_Q5_1: {
        const llm_q5_1 *block = (const void *)start;
        return _mm256_or_si256(avx2_nibbles(block->q), avx2_fifth_bits(avx2_u32(block->high)));
    }
    case LLM_Q8_0: return _mm256_loadu_si256((const void *)((const llm_q8_0 *)start)->q);
    case LLM_Q2_K: return avx2_bits(((const llm_q2_k *)bytes)->q + index / 4 * 32, index % 4 * 2, 3);
    case LLM_Q3_K: {
        const llm_q3_k *block = (const void *)bytes;
        __m256i low = avx2_bits(block->q + index / 4 * 32, index % 4 * 2, 3);
        return _mm256_or_si256(low, _mm256_slli_epi16(avx2_bits(block->high, index, 1), 2));
    }
    case LLM_Q4_K: return avx2_bits(((const llm_q4_k *)bytes)->q + index / 2 * 32, index % 2 * 4, 15);
    case LLM_Q5_K: {
        const llm_q5_k *block = (const void *)bytes;
        __m256i low = avx2_bits(block->q + index / 2 * 32, index % 2 * 4, 15);
        return _mm256_or_si256(low, _mm256_slli_epi16(avx2_bits(block->high, index, 1), 4));
    }
    case LLM_Q6_K: {
        const llm_q6_k *block = (const void *)bytes;
        __m256i low = avx2_bits(block->q + index / 4 * 64 + index % 2 * 32, index % 4 / 2 * 4, 15);
        __m256i high = avx2_bits(block->high + index / 4 * 32, index % 4 * 2, 3);
        return _mm256_or_si256(low, _mm256_slli_epi16(high, 4));
    }
    default: return _mm256_setzero_si256();
    }
}

/// The first two bytes of every block, zero for absent ones.
LLM_TEMPLATE __m128i avx2_first_halves(const uint8_t *bytes, size_t size, int blocks) {
    if (blocks == 8) {
        return _mm_setr_epi16(
            avx2_i16(bytes), avx2_i16(bytes + size), avx2_i16(bytes + 2 * size),
            avx2_i16(bytes + 3 * size), avx2_i16(bytes + 4 * size), avx2_i16(bytes + 5 * size),
            avx2_i16(bytes + 6 * size), avx2_i16(bytes + 7 * size));
    }
    short halves[8] = {0};
    for (int i = 0; i < blocks; i++) { halves[i] = avx2_i16(bytes + (size_t)i * size); }
    return _mm_loadu_si128((const void *)halves);
}

/// The scale and minimum that start every block, zero for absent ones.
LLM_TEMPLATE avx2_scales avx2_first_pairs(const uint8_t *bytes, size_t size, int blocks) {
    uint32_t pairs[8] = {0};
    for (int i = 0; i < blocks; i++) { pairs[i] = avx2_u32(bytes + (size_t)i * size); }
    __m256i words = _mm256_setr_epi32(
        (int)pairs[0], (int)pairs[1], (int)pairs[2], (int)pairs[3], (int)pairs[4], (int)pairs[5],
        (int)pairs[6], (int)pairs[7]);
    __m256i low = _mm256_and_si256(words, _mm256_set1_epi32(0xffff));
    __m256i packed = _mm256_packus_epi32(low, _mm256_srli_epi32(words, 16));
    packed = _mm256_permute4x64_epi64(packed, 0xd8);
    avx2_scales result;
    result.scales[0] = _mm256_cvtph_ps(_mm256_castsi256_si128(packed));
    result.minima[0] = _mm256_cvtph_ps(_mm256_extracti128_si256(packed, 1));
    return result;
}

/// Scales of LLM_Q4_K and LLM_Q5_K: `llm_k_scale` for all groups at once.
LLM_TEMPLATE avx2_scales avx2_k_scales(const uint8_t *d, const uint8_t *m, const uint8_t *scales) {
    uint32_t first = avx2_u32(scales), second = avx2_u32(scales + 4), third = avx2_u32(scales + 8);
    uint32_t high_scales = (third & 0x0f0f0f0f) | (first >> 2 & 0x30303030);
    uint32_t high_minima = (third >> 4 & 0x0f0f0f0f) | (second >> 2 & 0x30303030);
    __m128i packed = _mm_setr_epi32(
        (int)(first & 0x3f3f3f3f), (int)high_scales, (int)(second & 0x3f3f3f3f), (int)high_minima);
    avx2_scales result;
    result.scales[0] = _mm256_mul_ps(avx2_half(d), avx2_of_u8(packed));
    __m256 minima = _mm256_mul_ps(avx2_half(m), avx2_of_u8(_mm_srli_si128(packed, 8)));
    result.minima[0] = _mm256_xor_ps(minima, _mm256_set1_ps(-0.0f));
    return result;
}

LLM_TEMPLATE avx2_scales avx2_q2_scales(const llm_q2_k *block) {
    __m128i bytes = _mm_loadu_si128((const void *)block->scales), four = _mm_set1_epi8(15);
    __m128i low = _mm_and_si128(bytes, four), high = _mm_and_si128(_mm_srli_epi16(bytes, 4), four);
    __m256 d = avx2_half(block->d), m = avx2_half(block->m), sign = _mm256_set1_ps(-0.0f);
    avx2_scales result;
    result.scales[0] = _mm256_mul_ps(d, avx2_of_u8(low));
    result.scales[1] = _mm256_mul_ps(d, avx2_of_u8(_mm_srli_si128(low, 8)));
    result.minima[0] = _mm256_xor_ps(_mm256_mul_ps(m, avx2_of_u8(high)), sign);
    result.minima[1] = _mm256_xor_ps(_mm256_mul_ps(m, avx2_of_u8(_mm_srli_si128(high, 8))), sign);
    return result;
}

/// Sixteen signed scales; the minimum is `offset` times the scale.
LLM_TEMPLATE avx2_scales avx2_signed_scales(const uint8_t *d, __m128i scales, float offset) {
    avx2_scales result;
    for (int i = 0; i < 2; i++) {
        result.scales[i] = _mm256_mul_ps(avx2_half(d), avx2_of_i8(scales));
        result.minima[i] = _mm256_mul_ps(_mm256_set1_ps(offset), result.scales[i]);
        scales = _mm_srli_si128(scales, 8);
    }
    return result;
}

LLM_TEMPLATE __m128i avx2_q3_scales(const uint8_t *scales) {
    uint64_t low;
    memcpy(&low, scales, sizeof low);
    __m128i nibbles = _mm_set_epi64x((long long)(low >> 4), (long long)low);
    nibbles = _mm_and_si128(nibbles, _mm_set1_epi8(15));
    __m128i high = _mm_set1_epi32((int)avx2_u32(scales + 8));
    high = _mm_and_si128(_mm_srlv_epi32(high, _mm_setr_epi32(0, 2, 4, 6)), _mm_set1_epi8(3));
    return _mm_sub_epi8(_mm_or_si128(nibbles, _mm_slli_epi16(high, 4)), _mm_set1_epi8(32));
}

LLM_TEMPLATE avx2_scales avx2_chunk_scales(llm_encoding encoding, const uint8_t *bytes, int blocks) {
    const size_t size = llm_block_bytes(encoding);
    avx2_scales result;
    switch (encoding) {
    case LLM_Q4_1:
    case LLM_Q5_1: return avx2_first_pairs(bytes, size, blocks);
    case LLM_Q2_K: return avx2_q2_scales((const void *)bytes);
    case LLM_Q3_K: {
        const llm_q3_k *block = (const void *)bytes;
        return avx2_signed_scales(block->d, avx2_q3_scales(block->scales), -4.0f);
    }
    case LLM_Q4_K: {
        const llm_q4_k *block = (const void *)bytes;
        return avx2_k_scales(block->d, block->m, block->scales);
    }
    case LLM_Q5_K: {
        const llm_q5_k *block = (const void *)bytes;
        return avx2_k_scales(block->d, block->m, block->scales);
    }
    case LLM_Q6_K: {
        const llm_q6_k *block = (const void *)bytes;
        return avx2_signed_scales(block->d, _mm_loadu_si128((const void *)block->scales), -32.0f);
    }
    default:
        result.scales[0] = _mm256_cvtph_ps(avx2_first_halves(bytes, size, blocks));
        __m256 offset = _mm256_set1_ps(encoding == LLM_Q4_0 ? 8.0f : 16.0f);
        result.minima[0] = _mm256_sub_ps(_mm256_setzero_ps(), _mm256_mul_ps(offset, result.scales[0]));
        return result;
    }
}

#pragma clang attribute pop

#endif
