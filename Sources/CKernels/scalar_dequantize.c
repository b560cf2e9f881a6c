#include "blocks.h"
#include "kernels.h"

#pragma STDC FP_CONTRACT OFF

static void dequantize_q4(const uint8_t *q, uint32_t high, float d, int offset, float m, float *out) {
    for (int i = 0; i < 16; i++) {
        int low = (q[i] & 15) | (int)(high >> i & 1) << 4;
        int top = q[i] >> 4 | (int)(high >> (i + 16) & 1) << 4;
        out[i] = d * (float)(low - offset) + m;
        out[i + 16] = d * (float)(top - offset) + m;
    }
}

static void dequantize_block_of_32(llm_encoding encoding, const void *address, float *out) {
    float d = llm_float_of_f16(llm_load_u16(address));
    switch (encoding) {
    case LLM_Q4_0: {
        const llm_q4_0 *block = address;
        dequantize_q4(block->q, 0, d, 8, 0, out);
        break;
    }
    case LLM_Q4_1: {
        const llm_q4_1 *block = address;
        dequantize_q4(block->q, 0, d, 0, llm_float_of_f16(llm_load_u16(block->m)), out);
        break;
    }
    case LLM_Q5_0: {
        const llm_q5_0 *block = address;
        dequantize_q4(block->q, llm_load_u32(block->high), d, 16, 0, out);
        break;
    }
    case LLM_Q5_1: {
        const llm_q5_1 *block = address;
        float m = llm_float_of_f16(llm_load_u16(block->m));
        dequantize_q4(block->q, llm_load_u32(block->high), d, 0, m, out);
        break;
    }
    default: {
        const llm_q8_0 *block = address;
        for (int i = 0; i < 32; i++) { out[i] = d * (float)block->q[i]; }
    }
    }
}

static void dequantize_q2_k(const llm_q2_k *block, float *out) {
    float d = llm_float_of_f16(llm_load_u16(block->d));
    float minimum = llm_float_of_f16(llm_load_u16(block->m));
    for (int i = 0; i < LLM_CHUNK; i++) {
        uint8_t scales = block->scales[i / 16];
        int q = block->q[i / 128 * 32 + i % 32] >> i / 32 % 4 * 2 & 3;
        out[i] = d * (float)(scales & 15) * (float)q - minimum * (float)(scales >> 4);
    }
}

static void dequantize_q3_k(const llm_q3_k *block, float *out) {
    float d = llm_float_of_f16(llm_load_u16(block->d));
    for (int i = 0; i < LLM_CHUNK; i++) {
        int q = block->q[i / 128 * 32 + i % 32] >> i / 32 % 4 * 2 & 3;
        int high = block->high[i % 32] >> i / 32 & 1;
        out[i] = d * (float)llm_q3_scale(block->scales, i / 16) * (float)(q + 4 * high - 4);
    }
}

/// `high` is null for LLM_Q4_K.
static void dequantize_q45_k(
    const uint8_t *d, const uint8_t *m, const uint8_t *scales, const uint8_t *high, const uint8_t *q,
    float *out) {
    float scale = llm_float_of_f16(llm_load_u16(d)), minimum = llm_float_of_f16(llm_load_u16(m));
    for (int i = 0; i < LLM_CHUNK; i++) {
        int block = i / 32;
        int number = q[i / 64 * 32 + i % 32] >> block % 2 * 4 & 15;
        if (high) { number |= (high[i % 32] >> block & 1) << 4; }
        float group_scale = scale * (float)llm_k_scale(scales, block, false);
        out[i] = group_scale * (float)number - minimum * (float)llm_k_scale(scales, block, true);
    }
}

static void dequantize_q6_k(const llm_q6_k *block, float *out) {
    float d = llm_float_of_f16(llm_load_u16(block->d));
    for (int i = 0; i < LLM_CHUNK; i++) {
        int low = block->q[i / 128 * 64 + i % 64] >> i / 64 % 2 * 4 & 15;
        int high = block->high[i / 128 * 32 + i % 32] >> i / 32 % 4 * 2 & 3;
        out[i] = d * (float)block->scales[i / 16] * (float)((low | high << 4) - 32);
    }
}

static void dequantize_block(llm_encoding encoding, const void *address, float *out) {
    switch (encoding) {
    case LLM_F32: *out = llm_float_of_bits(llm_load_u32(address)); break;
    case LLM_F16: *out = llm_float_of_f16(llm_load_u16(address)); break;
    case LLM_BF16: *out = llm_float_of_bf16(llm_load_u16(address)); break;
    case LLM_Q2_K: dequantize_q2_k(address, out); break;
    case LLM_Q3_K: dequantize_q3_k(address, out); break;
    case LLM_Q4_K: {
        const llm_q4_k *block = address;
        dequantize_q45_k(block->d, block->m, block->scales, NULL, block->q, out);
        break;
    }
    case LLM_Q5_K: {
        const llm_q5_k *block = address;
        dequantize_q45_k(block->d, block->m, block->scales, block->high, block->q, out);
        break;
    }
    case LLM_Q6_K: dequantize_q6_k(address, out); break;
    default: dequantize_block_of_32(encoding, address, out);
    }
}

void llm_scalar_dequantize_row(llm_encoding encoding, const void *row, size_t count, float *out) {
    const uint8_t *block = row;
    size_t bytes = llm_block_bytes(encoding), elements = llm_block_elements(encoding);
    for (size_t i = 0; i < count; i += elements, block += bytes) {
        dequantize_block(encoding, block, out + i);
    }
}
