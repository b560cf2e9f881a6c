/// Block layouts of GGUF weights, the layout of quantised activations, and 16-bit floating point.
#ifndef LLM_BLOCKS_H
#define LLM_BLOCKS_H

#include "include/CKernels.h"

#include <string.h>

enum {
    LLM_LANES = 8,        // partial sums of every reduction
    LLM_BLOCK = 32,       // elements that share an activation scale
    LLM_CHUNK = 256,      // elements unpacked at a time; the super-block of the _K encodings
    LLM_CHUNK_BLOCKS = 8, // blocks of a chunk
};

// Every member is bytes, so the structs have no padding and any address is aligned for them.
typedef struct { uint8_t d[2], q[16]; } llm_q4_0;
typedef struct { uint8_t d[2], m[2], q[16]; } llm_q4_1;
typedef struct { uint8_t d[2], high[4], q[16]; } llm_q5_0;
typedef struct { uint8_t d[2], m[2], high[4], q[16]; } llm_q5_1;
typedef struct { uint8_t d[2]; int8_t q[32]; } llm_q8_0;
typedef struct { uint8_t scales[16], q[64], d[2], m[2]; } llm_q2_k;
typedef struct { uint8_t high[32], q[64], scales[12], d[2]; } llm_q3_k;
typedef struct { uint8_t d[2], m[2], scales[12], q[128]; } llm_q4_k;
typedef struct { uint8_t d[2], m[2], scales[12], high[32], q[128]; } llm_q5_k;
typedef struct { uint8_t q[128], high[64]; int8_t scales[16]; uint8_t d[2]; } llm_q6_k;

static inline size_t llm_smaller(size_t a, size_t b) { return a < b ? a : b; }

static inline size_t llm_block_elements(llm_encoding encoding) {
    return encoding <= LLM_BF16 ? 1 : encoding <= LLM_Q8_0 ? LLM_BLOCK : LLM_CHUNK;
}

static inline size_t llm_block_bytes(llm_encoding encoding) {
    switch (encoding) {
    case LLM_F32: return 4;
    case LLM_F16: return 2;
    case LLM_BF16: return 2;
    case LLM_Q4_0: return sizeof(llm_q4_0);
    case LLM_Q4_1: return sizeof(llm_q4_1);
    case LLM_Q5_0: return sizeof(llm_q5_0);
    case LLM_Q5_1: return sizeof(llm_q5_1);
    case LLM_Q8_0: return sizeof(llm_q8_0);
    case LLM_Q2_K: return sizeof(llm_q2_k);
    case LLM_Q3_K: return sizeof(llm_q3_k);
    case LLM_Q4_K: return sizeof(llm_q4_k);
    case LLM_Q5_K: return sizeof(llm_q5_k);
    case LLM_Q6_K: return sizeof(llm_q6_k);
    }
    return 0;
}

static inline size_t llm_row_bytes(llm_encoding encoding, size_t inputs) {
    return inputs / llm_block_elements(encoding) * llm_block_bytes(encoding);
}

/// Whether groups of 16 rather than 32 elements share a scale.
static inline bool llm_groups_of_16(llm_encoding encoding) {
    return encoding == LLM_Q2_K || encoding == LLM_Q3_K || encoding == LLM_Q6_K;
}

static inline float llm_float_of_bits(uint32_t bits) {
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

static inline uint32_t llm_bits_of_float(float value) {
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

static inline uint16_t llm_load_u16(const void *address) {
    const uint8_t *bytes = address;
    return (uint16_t)(bytes[0] | bytes[1] << 8);
}

static inline uint32_t llm_load_u32(const void *address) {
    const uint8_t *bytes = address;
    return bytes[0] | (uint32_t)bytes[1] << 8 | (uint32_t)bytes[2] << 16 | (uint32_t)bytes[3] << 24;
}

static inline float llm_float_of_f16(uint16_t half) {
    uint32_t sign = (uint32_t)(half & 0x8000) << 16;
    uint32_t exponent = half >> 10 & 0x1f, fraction = half & 0x3ff;
    if (exponent == 0) {
        float magnitude = (float)fraction * 0x1p-24f;
        return llm_float_of_bits(sign | llm_bits_of_float(magnitude));
    }
    if (exponent == 31) {
        // The instruction that converts halves makes every NaN quiet; so do we.
        return llm_float_of_bits(sign | 0x7f800000 | (fraction ? 0x400000 | fraction << 13 : 0));
    }
    return llm_float_of_bits(sign | (exponent + 112) << 23 | fraction << 13);
}

static inline uint16_t llm_f16_of_float(float value) {
    uint32_t bits = llm_bits_of_float(value);
    uint16_t sign = (uint16_t)(bits >> 16 & 0x8000);
    uint32_t magnitude = bits & 0x7fffffff;
    if (magnitude > 0x7f800000) { return (uint16_t)(sign | 0x7e00 | (magnitude >> 13 & 0x1ff)); }
    if (magnitude >= 0x477ff000) { return (uint16_t)(sign | 0x7c00); } // 65520 and above
    if (magnitude < 0x38800000) {
        // Below 2^-14 the steps are 2^-24: the addition rounds to them, to nearest even.
        float shifted = llm_float_of_bits(magnitude) + 0.5f;
        return (uint16_t)(sign | (llm_bits_of_float(shifted) - 0x3f000000));
    }
    uint32_t rounded = magnitude - 0x38000000 + 0xfff + (magnitude >> 13 & 1);
    return (uint16_t)(sign | rounded >> 13);
}

static inline float llm_float_of_bf16(uint16_t half) {
    return llm_float_of_bits((uint32_t)half << 16);
}

static inline uint16_t llm_bf16_of_float(float value) {
    uint32_t bits = llm_bits_of_float(value);
    if ((bits & 0x7fffffff) > 0x7f800000) { return (uint16_t)(bits >> 16 | 0x40); }
    return (uint16_t)((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

/// Scale or minimum number `group` of LLM_Q4_K and LLM_Q5_K: 6 bits each. The upper two bits of the last
/// four lie on top of those of the first four.
static inline int llm_k_scale(const uint8_t *scales, int group, bool minimum) {
    const uint8_t *first = scales + (minimum ? 4 : 0);
    if (group < 4) { return first[group] & 63; }
    int low = minimum ? scales[group + 4] >> 4 : scales[group + 4] & 15;
    return low | (first[group - 4] >> 6) << 4;
}

/// Scale number `group` of LLM_Q3_K, -32...31.
static inline int llm_q3_scale(const uint8_t *scales, int group) {
    int low = group < 8 ? scales[group] & 15 : scales[group - 8] >> 4;
    int high = scales[8 + group % 4] >> group / 4 * 2 & 3;
    return (low | high << 4) - 32;
}

#endif
