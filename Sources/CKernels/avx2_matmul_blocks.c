#if defined(__x86_64__)

#include "avx2_unpack.h"

#pragma STDC FP_CONTRACT OFF
#pragma clang attribute push(__attribute__((target("avx2,fma,f16c"))), apply_to = function)

enum {
    FEW_ROWS = 3,     // up to here weights are unpacked in registers, beyond it in memory
    TILE_ROWS = 32,   // activation rows that share unpacked weights
    TILE_OUTPUTS = 4, // weight rows unpacked together
};

/// Sums of four adjacent products; `magnitudes` is |w| where w has a sign, else w itself. No pair of
/// products passes 2 * 128 * 127, so 16 bits hold it.
LLM_TEMPLATE __m256 dot_block(bool is_signed, __m256i w, __m256i magnitudes, __m256i x) {
    __m256i pairs = _mm256_maddubs_epi16(magnitudes, is_signed ? _mm256_sign_epi8(x, w) : x);
    return _mm256_cvtepi32_ps(_mm256_madd_epi16(pairs, _mm256_set1_epi16(1)));
}

/// Scale times activation scale of each group, one after the other in `products`.
LLM_TEMPLATE void multiply_scales(bool sixteens, const avx2_scales *scales, __m256 d, float *products) {
    if (sixteens) {
        __m256 first = _mm256_permutevar8x32_ps(d, _mm256_setr_epi32(0, 0, 1, 1, 2, 2, 3, 3));
        __m256 second = _mm256_permutevar8x32_ps(d, _mm256_setr_epi32(4, 4, 5, 5, 6, 6, 7, 7));
        _mm256_storeu_ps(products, _mm256_mul_ps(scales->scales[0], first));
        _mm256_storeu_ps(products + 8, _mm256_mul_ps(scales->scales[1], second));
    } else {
        _mm256_storeu_ps(products, _mm256_mul_ps(scales->scales[0], d));
    }
}

/// Adds a chunk's minima times sums of activations, group `g` to lane `g % 8`.
LLM_TEMPLATE __m256 add_minima(
    llm_encoding encoding, const __m256 *minima, const llm_activation_chunk *x, __m256 lanes) {
    if (encoding == LLM_Q8_0) { return lanes; }
    if (!llm_groups_of_16(encoding)) {
        return _mm256_fmadd_ps(minima[0], _mm256_loadu_ps(x->sums32), lanes);
    }
    lanes = _mm256_fmadd_ps(minima[0], _mm256_loadu_ps(x->sums16), lanes);
    return _mm256_fmadd_ps(minima[1], _mm256_loadu_ps(x->sums16 + 8), lanes);
}

/// Adds one chunk of a weight row times `rows` activation rows, unpacking the weights in registers.
LLM_TEMPLATE void add_chunk(
    llm_encoding encoding, int rows, const uint8_t *bytes, int blocks, const uint8_t *x, size_t stride,
    __m256 *lanes) {
    const bool sixteens = llm_groups_of_16(encoding), is_signed = encoding == LLM_Q8_0;
    avx2_scales scales = avx2_chunk_scales(encoding, bytes, blocks);
    float products[FEW_ROWS][16];
    for (int r = 0; r < rows; r++) {
        const llm_activation_chunk *chunk = (const void *)(x + (size_t)r * stride);
        multiply_scales(sixteens, &scales, _mm256_loadu_ps(chunk->d), products[r]);
    }
    for (int i = 0; i < blocks; i++) {
        __m256i w = avx2_block(encoding, bytes, i), magnitudes = is_signed ? _mm256_abs_epi8(w) : w;
        for (int r = 0; r < rows; r++) {
            const llm_activation_chunk *chunk = (const void *)(x + (size_t)r * stride);
            __m256i numbers = _mm256_loadu_si256((const void *)(chunk->q + i * LLM_BLOCK));
            __m256 product;
            if (sixteens) {
                __m128 low = _mm_broadcast_ss(products[r] + 2 * i);
                product = _mm256_set_m128(_mm_broadcast_ss(products[r] + 2 * i + 1), low);
            } else {
                product = _mm256_broadcast_ss(products[r] + i);
            }
            lanes[r] = _mm256_fmadd_ps(product, dot_block(is_signed, w, magnitudes, numbers), lanes[r]);
        }
    }
    for (int r = 0; r < rows; r++) {
        lanes[r] = add_minima(encoding, scales.minima, (const void *)(x + (size_t)r * stride), lanes[r]);
    }
}

/// One weight row times all rows, of which there are `rows`.
LLM_TEMPLATE void dot_rows(llm_encoding encoding, int rows, const llm_matmul *p, size_t output) {
    const size_t chunk_bytes = llm_row_bytes(encoding, LLM_CHUNK), stride = p->x_stride_bytes;
    const uint8_t *weights = (const uint8_t *)p->weights + output * llm_row_bytes(encoding, p->inputs);
    const uint8_t *x = p->x;
    __m256 lanes[FEW_ROWS];
    for (int r = 0; r < rows; r++) { lanes[r] = _mm256_setzero_ps(); }
    for (size_t i = 0; i < p->inputs / LLM_CHUNK; i++) {
        add_chunk(encoding, rows, weights, LLM_CHUNK_BLOCKS, x, stride, lanes);
        weights += chunk_bytes;
        x += sizeof(llm_activation_chunk);
    }
    if (encoding <= LLM_Q8_0 && p->inputs % LLM_CHUNK) {
        add_chunk(encoding, rows, weights, (int)(p->inputs % LLM_CHUNK / LLM_BLOCK), x, stride, lanes);
    }
    for (int r = 0; r < rows; r++) {
        float sum = avx2_lane_sum(lanes[r]);
        p->y[(size_t)r * p->y_stride + output] = p->bias ? sum + p->bias[output] : sum;
    }
}

LLM_TEMPLATE void unpack_chunk(
    llm_encoding encoding, const uint8_t *bytes, int blocks, llm_weight_chunk *chunk) {
    avx2_scales scales = avx2_chunk_scales(encoding, bytes, blocks);
    float groups[16];
    _mm256_storeu_ps(groups, scales.scales[0]);
    _mm256_storeu_ps(chunk->minima, scales.minima[0]);
    if (llm_groups_of_16(encoding)) {
        _mm256_storeu_ps(groups + 8, scales.scales[1]);
        _mm256_storeu_ps(chunk->minima + 8, scales.minima[1]);
    }
    for (int i = 0; i < blocks; i++) {
        _mm256_storeu_si256((void *)(chunk->w + i * LLM_BLOCK), avx2_block(encoding, bytes, i));
        if (llm_groups_of_16(encoding)) {
            _mm_storeu_ps(chunk->scales[i], _mm_broadcast_ss(groups + 2 * i));
            _mm_storeu_ps(chunk->scales[i] + 4, _mm_broadcast_ss(groups + 2 * i + 1));
        } else {
            _mm256_storeu_ps(chunk->scales[i], _mm256_broadcast_ss(groups + i));
        }
    }
}

typedef float lanes_of_row[TILE_OUTPUTS][LLM_LANES];

/// Adds one chunk to the sums of `rows` x `outputs` products.
LLM_TEMPLATE void multiply_chunk(
    llm_encoding encoding, int rows, int outputs, const llm_weight_chunk *weights, int output,
    const uint8_t *x, size_t stride, int blocks, lanes_of_row *lanes) {
    const bool is_signed = encoding == LLM_Q8_0;
    __m256 sums[8];
    for (int r = 0; r < rows; r++) {
        for (int o = 0; o < outputs; o++) { sums[r * outputs + o] = _mm256_loadu_ps(lanes[r][output + o]); }
    }
    for (int i = 0; i < blocks; i++) {
        __m256i w[2], magnitudes[2];
        for (int o = 0; o < outputs; o++) {
            w[o] = _mm256_loadu_si256((const void *)(weights[output + o].w + i * LLM_BLOCK));
            magnitudes[o] = is_signed ? _mm256_abs_epi8(w[o]) : w[o];
        }
        for (int r = 0; r < rows; r++) {
            const llm_activation_chunk *chunk = (const void *)(x + (size_t)r * stride);
            __m256i numbers = _mm256_loadu_si256((const void *)(chunk->q + i * LLM_BLOCK));
            __m256 d = _mm256_broadcast_ss(chunk->d + i);
            for (int o = 0; o < outputs; o++) {
                __m256 product = _mm256_mul_ps(_mm256_loadu_ps(weights[output + o].scales[i]), d);
                __m256 dots = dot_block(is_signed, w[o], magnitudes[o], numbers);
                sums[r * outputs + o] = _mm256_fmadd_ps(product, dots, sums[r * outputs + o]);
            }
        }
    }
    for (int r = 0; r < rows; r++) {
        const llm_activation_chunk *chunk = (const void *)(x + (size_t)r * stride);
        for (int o = 0; o < outputs; o++) {
            const float *stored = weights[output + o].minima;
            __m256 minima[2] = {_mm256_loadu_ps(stored), _mm256_setzero_ps()};
            if (llm_groups_of_16(encoding)) { minima[1] = _mm256_loadu_ps(stored + 8); }
            __m256 sum = add_minima(encoding, minima, chunk, sums[r * outputs + o]);
            _mm256_storeu_ps(lanes[r][output + o], sum);
        }
    }
}

LLM_TEMPLATE void multiply_outputs(
    llm_encoding encoding, int outputs, const llm_weight_chunk *weights, int output, const uint8_t *x,
    size_t stride, size_t rows, int blocks, lanes_of_row *lanes) {
    size_t row = 0;
    for (; row + 4 <= rows; row += 4) {
        const uint8_t *start = x + row * stride;
        multiply_chunk(encoding, 4, outputs, weights, output, start, stride, blocks, lanes + row);
    }
    if (row + 2 <= rows) {
        const uint8_t *start = x + row * stride;
        multiply_chunk(encoding, 2, outputs, weights, output, start, stride, blocks, lanes + row);
        row += 2;
    }
    if (row < rows) {
        const uint8_t *start = x + row * stride;
        multiply_chunk(encoding, 1, outputs, weights, output, start, stride, blocks, lanes + row);
    }
}

// What follows unpacking depends only on the sign and on the size of the groups: three instances do.
#define LLM_MULTIPLY_UNPACKED(name, encoding)                                                             \
    static void name(                                                                                     \
        const llm_weight_chunk *weights, int outputs, const uint8_t *x, size_t stride, size_t rows,       \
        int blocks, lanes_of_row *lanes) {                                                                \
        int output = 0;                                                                                   \
        for (; output + 2 <= outputs; output += 2) {                                                      \
            multiply_outputs(encoding, 2, weights, output, x, stride, rows, blocks, lanes);               \
        }                                                                                                 \
        if (output < outputs) {                                                                           \
            multiply_outputs(encoding, 1, weights, output, x, stride, rows, blocks, lanes);               \
        }                                                                                                 \
    }

LLM_MULTIPLY_UNPACKED(multiply_unpacked_signed, LLM_Q8_0)
LLM_MULTIPLY_UNPACKED(multiply_unpacked_32, LLM_Q4_1)
LLM_MULTIPLY_UNPACKED(multiply_unpacked_16, LLM_Q6_K)

/// Products of up to 32 rows, from `row`, with up to 4 outputs, from `output`.
LLM_TEMPLATE void multiply_tile(
    llm_encoding encoding, const llm_matmul *p, size_t row, size_t rows, size_t output, int outputs) {
    const size_t row_bytes = llm_row_bytes(encoding, p->inputs);
    const uint8_t *weights = (const uint8_t *)p->weights + output * row_bytes;
    const uint8_t *x = (const uint8_t *)p->x + row * p->x_stride_bytes;
    lanes_of_row lanes[TILE_ROWS];
    memset(lanes, 0, rows * sizeof *lanes);
    for (size_t done = 0; done < p->inputs; done += LLM_CHUNK) {
        int blocks = (int)(llm_smaller(p->inputs - done, LLM_CHUNK) / LLM_BLOCK);
        llm_weight_chunk chunks[TILE_OUTPUTS];
        for (int o = 0; o < outputs; o++) {
            const uint8_t *bytes = weights + (size_t)o * row_bytes + llm_row_bytes(encoding, done);
            if (encoding > LLM_Q8_0 || blocks == LLM_CHUNK_BLOCKS) {
                unpack_chunk(encoding, bytes, LLM_CHUNK_BLOCKS, chunks + o);
            } else {
                unpack_chunk(encoding, bytes, blocks, chunks + o);
            }
        }
        const uint8_t *start = x + done / LLM_CHUNK * sizeof(llm_activation_chunk);
        if (encoding == LLM_Q8_0) {
            multiply_unpacked_signed(chunks, outputs, start, p->x_stride_bytes, rows, blocks, lanes);
        } else if (llm_groups_of_16(encoding)) {
            multiply_unpacked_16(chunks, outputs, start, p->x_stride_bytes, rows, blocks, lanes);
        } else {
            multiply_unpacked_32(chunks, outputs, start, p->x_stride_bytes, rows, blocks, lanes);
        }
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
    if (p->rows <= FEW_ROWS) {
        for (size_t output = p->first_output; output < p->last_output; output++) {
            switch (p->rows) {
            case 1: dot_rows(encoding, 1, p, output); break;
            case 2: dot_rows(encoding, 2, p, output); break;
            case 3: dot_rows(encoding, 3, p, output); break;
            }
        }
        return;
    }
    for (size_t output = p->first_output; output < p->last_output; output += TILE_OUTPUTS) {
        int outputs = (int)llm_smaller(p->last_output - output, TILE_OUTPUTS);
        for (size_t row = 0; row < p->rows; row += TILE_ROWS) {
            multiply_tile(encoding, p, row, llm_smaller(p->rows - row, TILE_ROWS), output, outputs);
        }
    }
}

#define LLM_MULTIPLY(encoding) \
    static __attribute__((noinline)) void multiply_##encoding(const llm_matmul *p) { multiply(encoding, p); }

LLM_MULTIPLY(LLM_Q4_0)
LLM_MULTIPLY(LLM_Q4_1)
LLM_MULTIPLY(LLM_Q5_0)
LLM_MULTIPLY(LLM_Q5_1)
LLM_MULTIPLY(LLM_Q8_0)
LLM_MULTIPLY(LLM_Q2_K)
LLM_MULTIPLY(LLM_Q3_K)
LLM_MULTIPLY(LLM_Q4_K)
LLM_MULTIPLY(LLM_Q5_K)
LLM_MULTIPLY(LLM_Q6_K)

void llm_avx2_matmul_blocks(const llm_matmul *p) {
    switch (p->encoding) {
    case LLM_F32:
    case LLM_F16:
    case LLM_BF16: break; // not blocks
    case LLM_Q4_0: multiply_LLM_Q4_0(p); break;
    case LLM_Q4_1: multiply_LLM_Q4_1(p); break;
    case LLM_Q5_0: multiply_LLM_Q5_0(p); break;
    case LLM_Q5_1: multiply_LLM_Q5_1(p); break;
    case LLM_Q8_0: multiply_LLM_Q8_0(p); break;
    case LLM_Q2_K: multiply_LLM_Q2_K(p); break;
    case LLM_Q3_K: multiply_LLM_Q3_K(p); break;
    case LLM_Q4_K: multiply_LLM_Q4_K(p); break;
    case LLM_Q5_K: multiply_LLM_Q5_K(p); break;
    case LLM_Q6_K: multiply_LLM_Q6_K(p); break;
    }
}

#pragma clang attribute pop

#else

typedef int llm_avx2_matmul_blocks_is_empty;

#endif
