#include <math.h>

#include "kernels.h"
#include "panels.h"

#pragma STDC FP_CONTRACT OFF

size_t llm_scalar_quantized_bytes(size_t inputs, size_t rows) {
    return inputs / LLM_BLOCK * rows * LLM_ROW_BLOCK;
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

static void quantize_block(
    const float *x, size_t shared, uint32_t largest, int8_t *q, llm_row_scales *scales) {
    float maximum = llm_float_of_bits(largest);
    if (largest >= 0x7f800000 || maximum < 1e-30f) { // whose inverse would overflow
        memset(q, 0, LLM_BLOCK);
        llm_set_scales(scales, shared, maximum < 1e-30f ? 0 : NAN);
        return;
    }
    float inverse = 127.0f / maximum;
    int sums[2] = {0, 0};
    for (int i = 0; i < LLM_BLOCK; i++) {
        q[i] = (int8_t)rintf(x[i] * inverse);
        sums[i / 16] += q[i];
    }
    *scales = llm_scales_of(maximum, sums[0], sums[1], shared);
}

void llm_scalar_quantize_rows(
    const float *x, size_t x_stride, size_t rows, size_t inputs, size_t shared, size_t first_tile,
    size_t last_tile, void *out) {
    llm_quantize_tiles(
        x, x_stride, rows, inputs, shared, first_tile, last_tile, out, largest_magnitude, quantize_block);
}

/// Scales and minima of a block of one output: those of its first 16 inputs, then of the last.
typedef struct {
    float scales[2], minima[2];
} block_scales;

static float half_at(const uint8_t *halves, size_t output) {
    return llm_float_of_f16(llm_load_u16(halves + 2 * output));
}

static block_scales read_scales(
    llm_encoding encoding, const llm_panel_layout *layout, const uint8_t *panel, size_t block,
    size_t output) {
    const uint8_t *bytes = panel + layout->scales + block * layout->scale_bytes;
    const uint8_t *super = panel + layout->supers + block / LLM_CHUNK_BLOCKS * layout->super_bytes;
    block_scales result;
    for (size_t half = 0; half < 2; half++) {
        float *scale = result.scales + half, *minimum = result.minima + half;
        uint8_t byte = bytes[half * LLM_PANEL + output];
        switch (encoding) {
        case LLM_Q4_K:
        case LLM_Q5_K:
            *scale = half_at(super, output) * (float)bytes[output];
            *minimum = -(half_at(super + 2 * LLM_PANEL, output) * (float)bytes[LLM_PANEL + output]);
            break;
        case LLM_Q2_K:
            *scale = half_at(super, output) * (float)(byte & 15);
            *minimum = -(half_at(super + 2 * LLM_PANEL, output) * (float)(byte >> 4));
            break;
        case LLM_Q3_K:
        case LLM_Q6_K:
            *scale = half_at(super, output) * (float)(int8_t)byte;
            *minimum = *scale * llm_fixed_minimum(encoding);
            break;
        default:
            *scale = half_at(bytes, output);
            *minimum = llm_stores_minimum(encoding) ? half_at(bytes + 2 * LLM_PANEL, output)
                                                    : *scale * llm_fixed_minimum(encoding);
        }
    }
    return result;
}

/// Weight `input` (0 to 31) of output `output` of a block.
static int weight_at(int bits, const uint8_t *planes, size_t input, size_t output) {
    const size_t plane = 4 * LLM_PANEL, byte = 4 * output + input % 4, group = input / 4;
    if (bits == 8) { return (int8_t)planes[group * plane + byte]; }
    int done = 0, w = 0;
    if (bits >= 4) {
        w = planes[group % 4 * plane + byte] >> group / 4 * 4 & 15;
        planes += 4 * plane;
        done = 4;
    }
    if (bits - done >= 2) {
        w |= (planes[group / 4 * plane + byte] >> 2 * (group % 4) & 3) << done;
        planes += 2 * plane;
        done += 2;
    }
    return bits > done ? w | (planes[byte] >> group & 1) << done : w;
}

/// The product of one output with one row, whose first block is at `q` and `scales`; those of the next block
/// are `stride` bytes on.
static float multiply_blocks(
    llm_encoding encoding, const llm_panel_layout *layout, const uint8_t *panel, size_t output,
    const uint8_t *q, const uint8_t *scales, size_t stride) {
    float sum = 0;
    for (size_t block = 0; block < layout->blocks; block++, q += stride, scales += stride) {
        const uint8_t *planes = panel + block * layout->quant_bytes;
        const int8_t *numbers = (const int8_t *)q;
        const llm_row_scales *row = (const void *)scales;
        block_scales s = read_scales(encoding, layout, panel, block, output);
        int dots[2] = {0, 0};
        for (size_t i = 0; i < LLM_BLOCK; i++) {
            dots[i / 16] += weight_at(llm_weight_bits(encoding), planes, i, output) * numbers[i];
        }
        if (llm_groups_of_16(encoding)) {
            float both = fmaf(s.scales[1], (float)dots[1], s.scales[0] * (float)dots[0]);
            sum = fmaf(row->d, both, sum);
            sum = fmaf(s.minima[0], row->halves[0], sum);
            sum = fmaf(s.minima[1], row->halves[1], sum);
        } else {
            sum = fmaf(s.scales[0] * row->d, (float)(dots[0] + dots[1]), sum);
            if (llm_has_minimum(encoding)) { sum = fmaf(s.minima[0], row->sum, sum); }
        }
    }
    return sum;
}

static float multiply_floats(
    llm_encoding encoding, const uint8_t *panel, size_t output, const float *x, size_t inputs) {
    const size_t size = llm_block_bytes(encoding);
    float sum = 0;
    for (size_t i = 0; i < inputs; i++) {
        float w;
        llm_scalar_dequantize_row(encoding, panel + (i * LLM_PANEL + output) * size, 1, &w);
        sum = fmaf(w, x[i], sum);
    }
    return sum;
}

void llm_scalar_matmul(const llm_matmul *p) {
    const bool floats = p->encoding <= LLM_BF16;
    const size_t panel_bytes = llm_panel_bytes(p->encoding, p->inputs);
    const llm_panel_layout layout = floats ? (llm_panel_layout){0} : llm_layout(p->encoding, p->inputs);
    const size_t last = llm_smaller(p->last_panel * LLM_PANEL, p->outputs);
    for (size_t output = p->first_panel * LLM_PANEL; output < last; output++) {
        const uint8_t *panel = (const uint8_t *)p->weights + output / LLM_PANEL * panel_bytes;
        for (size_t row = 0; row < p->rows; row++) {
            float sum;
            if (floats) {
                const float *x = (const float *)p->x + row * p->x_stride;
                sum = multiply_floats(p->encoding, panel, output % LLM_PANEL, x, p->inputs);
            } else {
                const size_t start = row / LLM_TILE * LLM_TILE,
                             count = llm_smaller(p->rows - start, LLM_TILE);
                const uint8_t *tile = llm_tile(p, start), *q = tile + (row - start) * LLM_BLOCK;
                const uint8_t *scales = tile + count * LLM_BLOCK + (row - start) * sizeof(llm_row_scales);
                sum = multiply_blocks(
                    p->encoding, &layout, panel, output % LLM_PANEL, q, scales, count * LLM_ROW_BLOCK);
            }
            p->y[row * p->y_stride + output] = p->bias ? sum + p->bias[output] : sum;
        }
    }
}
