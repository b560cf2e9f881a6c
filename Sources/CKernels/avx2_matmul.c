#if defined(__x86_64__)

#include "avx2.h"

#pragma STDC FP_CONTRACT OFF
#pragma clang attribute push(__attribute__((target("avx2,fma,f16c"))), apply_to = function)

enum {
    FEW_ROWS = 3,     // up to here weights are converted in registers, beyond it in memory
    TILE_ROWS = 32,   // activation rows that share converted weights
    TILE_OUTPUTS = 4, // weight rows converted together
};

/// `count` of eight weights from element `index`, as float32.
LLM_TEMPLATE __m256 load_weights(llm_encoding encoding, const uint8_t *weights, size_t index, size_t count) {
    llm_element element = encoding == LLM_F32   ? LLM_ELEMENT_F32
                          : encoding == LLM_F16 ? LLM_ELEMENT_F16
                                                : LLM_ELEMENT_BF16;
    return avx2_load_element(element, weights, index, count);
}

/// All rows, of which there are `rows`, times `outputs` weight rows.
LLM_TEMPLATE void dot_rows(
    llm_encoding encoding, size_t rows, size_t outputs, const llm_matmul *p, size_t output) {
    const size_t row_bytes = llm_row_bytes(encoding, p->inputs);
    const uint8_t *weights = (const uint8_t *)p->weights + output * row_bytes, *x = p->x;
    __m256 sums[FEW_ROWS * TILE_OUTPUTS];
    for (size_t k = 0; k < rows * outputs; k++) { sums[k] = _mm256_setzero_ps(); }
    size_t i = 0;
    for (; i + 8 <= p->inputs; i += 8) {
        __m256 w[TILE_OUTPUTS];
        for (size_t o = 0; o < outputs; o++) { w[o] = load_weights(encoding, weights + o * row_bytes, i, 8); }
        for (size_t r = 0; r < rows; r++) {
            __m256 numbers = _mm256_loadu_ps((const float *)(const void *)(x + r * p->x_stride_bytes) + i);
            for (size_t o = 0; o < outputs; o++) {
                sums[r * outputs + o] = _mm256_fmadd_ps(w[o], numbers, sums[r * outputs + o]);
            }
        }
    }
    if (i < p->inputs) {
        for (size_t k = 0; k < rows * outputs; k++) {
            const float *row = (const void *)(x + k / outputs * p->x_stride_bytes);
            const uint8_t *start = weights + k % outputs * row_bytes;
            __m256 w = load_weights(encoding, start, i, p->inputs - i);
            sums[k] = _mm256_fmadd_ps(w, avx2_load(row + i, p->inputs - i), sums[k]);
        }
    }
    for (size_t k = 0; k < rows * outputs; k++) {
        size_t column = output + k % outputs;
        float sum = avx2_lane_sum(sums[k]);
        p->y[k / outputs * p->y_stride + column] = p->bias ? sum + p->bias[column] : sum;
    }
}

LLM_TEMPLATE void multiply_few(llm_encoding encoding, size_t rows, const llm_matmul *p) {
    size_t output = p->first_output;
    for (; output + TILE_OUTPUTS <= p->last_output; output += TILE_OUTPUTS) {
        dot_rows(encoding, rows, TILE_OUTPUTS, p, output);
    }
    for (; output < p->last_output; output++) { dot_rows(encoding, rows, 1, p, output); }
}

typedef float lanes_of_row[TILE_OUTPUTS][LLM_LANES];
typedef float chunk_of_weights[LLM_CHUNK];

/// Adds `count` inputs to the sums of `rows` x `outputs` products.
LLM_TEMPLATE void multiply_chunk(
    int rows, int outputs, const chunk_of_weights *weights, int output, const uint8_t *x, size_t stride,
    size_t count, lanes_of_row *lanes) {
    __m256 sums[8];
    for (int r = 0; r < rows; r++) {
        for (int o = 0; o < outputs; o++) { sums[r * outputs + o] = _mm256_loadu_ps(lanes[r][output + o]); }
    }
    size_t i = 0;
    for (; i + 8 <= count; i += 8) {
        for (int r = 0; r < rows; r++) {
            __m256 numbers = _mm256_loadu_ps((const float *)(const void *)(x + (size_t)r * stride) + i);
            for (int o = 0; o < outputs; o++) {
                __m256 w = _mm256_loadu_ps(weights[output + o] + i);
                sums[r * outputs + o] = _mm256_fmadd_ps(w, numbers, sums[r * outputs + o]);
            }
        }
    }
    if (i < count) {
        for (int r = 0; r < rows; r++) {
            const float *row = (const void *)(x + (size_t)r * stride);
            __m256 numbers = avx2_load(row + i, count - i);
            for (int o = 0; o < outputs; o++) {
                __m256 w = _mm256_loadu_ps(weights[output + o] + i);
                sums[r * outputs + o] = _mm256_fmadd_ps(w, numbers, sums[r * outputs + o]);
            }
        }
    }
    for (int r = 0; r < rows; r++) {
        for (int o = 0; o < outputs; o++) { _mm256_storeu_ps(lanes[r][output + o], sums[r * outputs + o]); }
    }
}

LLM_TEMPLATE void multiply_outputs(
    int outputs, const chunk_of_weights *weights, int output, const uint8_t *x, size_t stride, size_t rows,
    size_t count, lanes_of_row *lanes) {
    size_t row = 0;
    for (; row + 4 <= rows; row += 4) {
        multiply_chunk(4, outputs, weights, output, x + row * stride, stride, count, lanes + row);
    }
    for (; row < rows; row++) {
        multiply_chunk(1, outputs, weights, output, x + row * stride, stride, count, lanes + row);
    }
}

static void multiply_converted(
    const chunk_of_weights *weights, int outputs, const uint8_t *x, size_t stride, size_t rows, size_t count,
    lanes_of_row *lanes) {
    int output = 0;
    for (; output + 2 <= outputs; output += 2) {
        multiply_outputs(2, weights, output, x, stride, rows, count, lanes);
    }
    if (output < outputs) { multiply_outputs(1, weights, output, x, stride, rows, count, lanes); }
}

/// Products of up to 32 rows, from `row`, with up to 4 outputs, from `output`.
LLM_TEMPLATE void multiply_tile(
    llm_encoding encoding, const llm_matmul *p, size_t row, size_t rows, size_t output, int outputs) {
    const size_t row_bytes = llm_row_bytes(encoding, p->inputs);
    const uint8_t *weights = (const uint8_t *)p->weights + output * row_bytes;
    const uint8_t *x = (const uint8_t *)p->x + row * p->x_stride_bytes;
    lanes_of_row lanes[TILE_ROWS];
    memset(lanes, 0, rows * sizeof *lanes);
    for (size_t done = 0; done < p->inputs; done += LLM_CHUNK) {
        size_t count = llm_smaller(p->inputs - done, LLM_CHUNK);
        chunk_of_weights chunks[TILE_OUTPUTS];
        for (int o = 0; o < outputs; o++) {
            const uint8_t *start = weights + (size_t)o * row_bytes;
            for (size_t i = 0; i < count; i += 8) {
                __m256 w = load_weights(encoding, start, done + i, count - i);
                _mm256_storeu_ps(chunks[o] + i, w);
            }
        }
        const uint8_t *start = x + done * sizeof(float);
        multiply_converted(chunks, outputs, start, p->x_stride_bytes, rows, count, lanes);
    }
    for (size_t r = 0; r < rows; r++) {
        float *y = p->y + (row + r) * p->y_stride + output;
        for (int o = 0; o < outputs; o++) {
            float sum = avx2_lane_sum(_mm256_loadu_ps(lanes[r][o]));
            y[o] = p->bias ? sum + p->bias[output + (size_t)o] : sum;
        }
    }
}

LLM_TEMPLATE void multiply(llm_encoding encoding, const llm_matmul *p) {
    switch (p->rows) {
    case 1: multiply_few(encoding, 1, p); return;
    case 2: multiply_few(encoding, 2, p); return;
    case 3: multiply_few(encoding, 3, p); return;
    }
    for (size_t output = p->first_output; output < p->last_output; output += TILE_OUTPUTS) {
        int outputs = (int)llm_smaller(p->last_output - output, TILE_OUTPUTS);
        for (size_t row = 0; row < p->rows; row += TILE_ROWS) {
            multiply_tile(encoding, p, row, llm_smaller(p->rows - row, TILE_ROWS), output, outputs);
        }
    }
}

static void multiply_f32(const llm_matmul *p) { multiply(LLM_F32, p); }
static void multiply_f16(const llm_matmul *p) { multiply(LLM_F16, p); }
static void multiply_bf16(const llm_matmul *p) { multiply(LLM_BF16, p); }

void llm_avx2_matmul(const llm_matmul *p) {
    switch (p->encoding) {
    case LLM_F32: multiply_f32(p); break;
    case LLM_F16: multiply_f16(p); break;
    case LLM_BF16: multiply_bf16(p); break;
    default: llm_avx2_matmul_blocks(p);
    }
}

#pragma clang attribute pop

#else

typedef int llm_avx2_matmul_is_empty;

#endif
