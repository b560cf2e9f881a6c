#include "kernels.h"
#include "lanes.h"

#pragma STDC FP_CONTRACT OFF

enum { TILE = 16 }; // activation rows that share an unpacked chunk of weights

size_t llm_scalar_quantized_row_bytes(size_t inputs) {
    return (inputs + LLM_CHUNK - 1) / LLM_CHUNK * sizeof(llm_activation_chunk);
}

/// The bits of the largest magnitude: they order like the numbers, infinity and NaN last.
static uint32_t largest_magnitude(const float *x, size_t count) {
    uint32_t largest = 0;
    for (size_t i = 0; i < count; i++) {
        uint32_t magnitude = llm_bits_of_float(x[i]) & 0x7fffffff;
        largest = magnitude > largest ? magnitude : largest;
    }
    return largest;
}

/// `chunk` is zero before.
static void quantize_block(
    const float *x, size_t block, uint32_t largest, llm_activation_chunk *chunk) {
    if (largest >= 0x7f800000) {
        chunk->d[block] = chunk->sums32[block] = NAN;
        chunk->sums16[2 * block] = chunk->sums16[2 * block + 1] = NAN;
        return;
    }
    float maximum = llm_float_of_bits(largest);
    if (maximum < 1e-30f) { return; } // its inverse would overflow
    float d = maximum / 127.0f, inverse = 127.0f / maximum;
    int8_t *q = chunk->q + block * LLM_BLOCK;
    int sums[2] = {0, 0};
    for (int i = 0; i < LLM_BLOCK; i++) {
        q[i] = (int8_t)rintf(x[i] * inverse);
        sums[i / 16] += q[i];
    }
    chunk->d[block] = d;
    chunk->sums32[block] = d * (float)(sums[0] + sums[1]);
    chunk->sums16[2 * block] = d * (float)sums[0];
    chunk->sums16[2 * block + 1] = d * (float)sums[1];
}

void llm_scalar_quantize_rows(
    const float *x, size_t x_stride, size_t rows, size_t inputs, size_t shared, void *out) {
    size_t bytes = llm_scalar_quantized_row_bytes(inputs);
    memset(out, 0, rows * bytes);
    for (size_t row = 0; row < rows; row++, x += x_stride) {
        llm_activation_chunk *chunks = (void *)((uint8_t *)out + row * bytes);
        for (size_t start = 0; start < inputs; start += shared) {
            uint32_t largest = largest_magnitude(x + start, shared);
            for (size_t i = start; i < start + shared; i += LLM_BLOCK) {
                size_t block = i / LLM_BLOCK % LLM_CHUNK_BLOCKS;
                quantize_block(x + i, block, largest, chunks + i / LLM_CHUNK);
            }
        }
    }
}

static void set_scale(llm_weight_chunk *chunk, int block, float first, float second) {
    for (int lane = 0; lane < LLM_LANES; lane++) { chunk->scales[block][lane] = lane < 4 ? first : second; }
}

static void unpack_nibbles(const uint8_t *q, uint32_t high, int8_t *w) {
    for (int i = 0; i < 16; i++) {
        w[i] = (int8_t)((q[i] & 15) | (high >> i & 1) << 4);
        w[i + 16] = (int8_t)(q[i] >> 4 | (high >> (i + 16) & 1) << 4);
    }
}

static void unpack_block_of_32(
    llm_encoding encoding, const void *address, int index, llm_weight_chunk *chunk) {
    int8_t *w = chunk->w + index * LLM_BLOCK;
    float d = llm_float_of_f16(llm_load_u16(address)), minimum = 0;
    switch (encoding) {
    case LLM_Q4_0: {
        const llm_q4_0 *block = address;
        unpack_nibbles(block->q, 0, w);
        minimum = 0.0f - 8.0f * d; // 0 for d = 0, like the padding
        break;
    }
    case LLM_Q4_1: {
        const llm_q4_1 *block = address;
        unpack_nibbles(block->q, 0, w);
        minimum = llm_float_of_f16(llm_load_u16(block->m));
        break;
    }
    case LLM_Q5_0: {
        const llm_q5_0 *block = address;
        unpack_nibbles(block->q, llm_load_u32(block->high), w);
        minimum = 0.0f - 16.0f * d;
        break;
    }
    case LLM_Q5_1: {
        const llm_q5_1 *block = address;
        unpack_nibbles(block->q, llm_load_u32(block->high), w);
        minimum = llm_float_of_f16(llm_load_u16(block->m));
        break;
    }
    default: memcpy(w, ((const llm_q8_0 *)address)->q, LLM_BLOCK);
    }
    set_scale(chunk, index, d, d);
    chunk->minima[index] = minimum;
}

static void unpack_q2_k(const llm_q2_k *block, llm_weight_chunk *chunk) {
    float d = llm_float_of_f16(llm_load_u16(block->d)), m = llm_float_of_f16(llm_load_u16(block->m));
    for (int i = 0; i < LLM_CHUNK; i++) {
        chunk->w[i] = (int8_t)(block->q[i / 128 * 32 + i % 32] >> i / 32 % 4 * 2 & 3);
    }
    for (int group = 0; group < 16; group++) {
        chunk->minima[group] = -(m * (float)(block->scales[group] >> 4));
    }
    for (int i = 0; i < LLM_CHUNK_BLOCKS; i++) {
        const uint8_t *scales = block->scales + 2 * i;
        set_scale(chunk, i, d * (float)(scales[0] & 15), d * (float)(scales[1] & 15));
    }
}

static void unpack_q3_k(const llm_q3_k *block, llm_weight_chunk *chunk) {
    float d = llm_float_of_f16(llm_load_u16(block->d));
    for (int i = 0; i < LLM_CHUNK; i++) {
        int q = block->q[i / 128 * 32 + i % 32] >> i / 32 % 4 * 2 & 3;
        chunk->w[i] = (int8_t)(q | (block->high[i % 32] >> i / 32 & 1) << 2);
    }
    for (int i = 0; i < LLM_CHUNK_BLOCKS; i++) {
        float first = d * (float)llm_q3_scale(block->scales, 2 * i);
        float second = d * (float)llm_q3_scale(block->scales, 2 * i + 1);
        set_scale(chunk, i, first, second);
        chunk->minima[2 * i] = -4.0f * first;
        chunk->minima[2 * i + 1] = -4.0f * second;
    }
}

/// `high` is null for LLM_Q4_K.
static void unpack_q45_k(
    const uint8_t *d, const uint8_t *m, const uint8_t *scales, const uint8_t *high, const uint8_t *q,
    llm_weight_chunk *chunk) {
    float scale = llm_float_of_f16(llm_load_u16(d)), minimum = llm_float_of_f16(llm_load_u16(m));
    for (int i = 0; i < LLM_CHUNK; i++) {
        int number = q[i / 64 * 32 + i % 32] >> i / 32 % 2 * 4 & 15;
        if (high) { number |= (high[i % 32] >> i / 32 & 1) << 4; }
        chunk->w[i] = (int8_t)number;
    }
    for (int i = 0; i < LLM_CHUNK_BLOCKS; i++) {
        float group_scale = scale * (float)llm_k_scale(scales, i, false);
        set_scale(chunk, i, group_scale, group_scale);
        chunk->minima[i] = -(minimum * (float)llm_k_scale(scales, i, true));
    }
}

static void unpack_q6_k(const llm_q6_k *block, llm_weight_chunk *chunk) {
    float d = llm_float_of_f16(llm_load_u16(block->d));
    for (int i = 0; i < LLM_CHUNK; i++) {
        int low = block->q[i / 128 * 64 + i % 64] >> i / 64 % 2 * 4 & 15;
        chunk->w[i] = (int8_t)(low | (block->high[i / 128 * 32 + i % 32] >> i / 32 % 4 * 2 & 3) << 4);
    }
    for (int i = 0; i < LLM_CHUNK_BLOCKS; i++) {
        float first = d * (float)block->scales[2 * i], second = d * (float)block->scales[2 * i + 1];
        set_scale(chunk, i, first, second);
        chunk->minima[2 * i] = -32.0f * first;
        chunk->minima[2 * i + 1] = -32.0f * second;
    }
}

static void unpack_chunk(llm_encoding encoding, const uint8_t *bytes, int blocks, llm_weight_chunk *chunk) {
    memset(chunk->minima, 0, sizeof chunk->minima);
    switch (encoding) {
    case LLM_Q2_K: unpack_q2_k((const void *)bytes, chunk); break;
    case LLM_Q3_K: unpack_q3_k((const void *)bytes, chunk); break;
    case LLM_Q4_K: {
        const llm_q4_k *block = (const void *)bytes;
        unpack_q45_k(block->d, block->m, block->scales, NULL, block->q, chunk);
        break;
    }
    case LLM_Q5_K: {
        const llm_q5_k *block = (const void *)bytes;
        unpack_q45_k(block->d, block->m, block->scales, block->high, block->q, chunk);
        break;
    }
    case LLM_Q6_K: unpack_q6_k((const void *)bytes, chunk); break;
    default:
        for (int i = 0; i < blocks; i++) {
            unpack_block_of_32(encoding, bytes + (size_t)i * llm_block_bytes(encoding), i, chunk);
        }
    }
}

static void accumulate_chunk(
    llm_encoding encoding, const llm_weight_chunk *chunk, const llm_activation_chunk *x, int blocks,
    float *lanes) {
    for (int block = 0; block < blocks; block++) {
        for (int lane = 0; lane < LLM_LANES; lane++) {
            int dot = 0;
            for (int i = block * LLM_BLOCK + lane * 4; i < block * LLM_BLOCK + lane * 4 + 4; i++) {
                dot += chunk->w[i] * x->q[i];
            }
            lanes[lane] = fmaf(chunk->scales[block][lane] * x->d[block], (float)dot, lanes[lane]);
        }
    }
    if (encoding == LLM_Q8_0) { return; } // it alone has neither minimum nor offset
    bool sixteens = llm_groups_of_16(encoding);
    const float *sums = sixteens ? x->sums16 : x->sums32;
    for (int group = 0; group < (sixteens ? 16 : 8); group++) {
        lanes[group % LLM_LANES] = fmaf(chunk->minima[group], sums[group], lanes[group % LLM_LANES]);
    }
}

static void multiply_blocks(
    const llm_matmul *p, const uint8_t *weights, size_t row, size_t rows, float *lanes) {
    size_t blocks = p->inputs / LLM_BLOCK;
    size_t chunk_bytes = llm_row_bytes(p->encoding, LLM_CHUNK);
    for (size_t done = 0; done < blocks; done += LLM_CHUNK_BLOCKS) {
        int count = (int)llm_smaller(blocks - done, LLM_CHUNK_BLOCKS);
        size_t index = done / LLM_CHUNK_BLOCKS;
        llm_weight_chunk chunk;
        unpack_chunk(p->encoding, weights + index * chunk_bytes, count, &chunk);
        for (size_t i = 0; i < rows; i++) {
            const uint8_t *x = (const uint8_t *)p->x + (row + i) * p->x_stride_bytes;
            const llm_activation_chunk *activations = (const void *)x;
            accumulate_chunk(p->encoding, &chunk, activations + index, count, lanes + i * LLM_LANES);
        }
    }
}

static void multiply_floats(
    const llm_matmul *p, const uint8_t *weights, size_t row, size_t rows, float *lanes) {
    for (size_t done = 0; done < p->inputs; done += LLM_CHUNK) {
        size_t count = llm_smaller(p->inputs - done, LLM_CHUNK);
        float chunk[LLM_CHUNK] = {0};
        llm_scalar_dequantize_row(
            p->encoding, weights + llm_row_bytes(p->encoding, done), count, chunk);
        for (size_t i = 0; i < rows; i++) {
            const float *x = (const void *)((const uint8_t *)p->x + (row + i) * p->x_stride_bytes);
            float *sums = lanes + i * LLM_LANES;
            // Lanes after the row's end add 0 * 0, as whole vectors do: it turns -0 into 0.
            for (size_t j = 0; j < (count + LLM_LANES - 1) / LLM_LANES * LLM_LANES; j++) {
                float number = j < count ? x[done + j] : 0.0f;
                sums[j % LLM_LANES] = fmaf(chunk[j], number, sums[j % LLM_LANES]);
            }
        }
    }
}

void llm_scalar_matmul(const llm_matmul *p) {
    size_t row_bytes = llm_row_bytes(p->encoding, p->inputs);
    for (size_t output = p->first_output; output < p->last_output; output++) {
        const uint8_t *weights = (const uint8_t *)p->weights + output * row_bytes;
        for (size_t row = 0; row < p->rows; row += TILE) {
            size_t rows = llm_smaller(p->rows - row, TILE);
            float lanes[TILE * LLM_LANES] = {0};
            if (p->encoding <= LLM_BF16) {
                multiply_floats(p, weights, row, rows, lanes);
            } else {
                multiply_blocks(p, weights, row, rows, lanes);
            }
            for (size_t i = 0; i < rows; i++) {
                float sum = llm_lane_sum(lanes + i * LLM_LANES);
                p->y[(row + i) * p->y_stride + output] = p->bias ? sum + p->bias[output] : sum;
            }
        }
    }
}
