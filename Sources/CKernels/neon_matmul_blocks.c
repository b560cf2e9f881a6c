#if defined(__aarch64__)

#include "neon.h"

#pragma STDC FP_CONTRACT OFF
#pragma clang attribute push(__attribute__((target("dotprod"))), apply_to = function)

/// Bits `mask << place` of every byte, moved by `count` places to the left, or right where it is negative.
LLM_TEMPLATE int8x16_t moved(uint8x16_t value, int count, uint8_t mask) {
    uint8x16_t shifted = vshlq_u8(value, vdupq_n_s8((int8_t)count));
    return vreinterpretq_s8_u8(vandq_u8(shifted, vdupq_n_u8(mask)));
}

/// The groups of a block for four outputs.
LLM_TEMPLATE void unpack(llm_encoding encoding, const uint8_t *planes, int8x16_t *w) {
    const int bits = llm_weight_bits(encoding);
    int done = 0;
    if (bits == 8) {
        LLM_UNROLL for (int t = 0; t < LLM_GROUPS; t++) {
            w[t] = vreinterpretq_s8_u8(vld1q_u8(planes + 64 * t));
        }
        return;
    }
    if (bits >= 4) {
        LLM_UNROLL for (int t = 0; t < 4; t++) {
            const uint8x16_t both = vld1q_u8(planes + 64 * t);
            w[t] = vreinterpretq_s8_u8(vandq_u8(both, vdupq_n_u8(15)));
            w[t + 4] = vreinterpretq_s8_u8(vshrq_n_u8(both, 4));
        }
        planes += 256;
        done = 4;
    }
    if (bits - done >= 2) {
        const uint8x16_t pairs[2] = {vld1q_u8(planes), vld1q_u8(planes + 64)};
        LLM_UNROLL for (int t = 0; t < LLM_GROUPS; t++) {
            const int8x16_t two = moved(pairs[t / 4], done - 2 * (t % 4), (uint8_t)(3 << done));
            w[t] = done ? vorrq_s8(w[t], two) : two;
        }
        planes += 128;
        done += 2;
    }
    if (bits > done) {
        const uint8x16_t ones = vld1q_u8(planes);
        LLM_UNROLL for (int t = 0; t < LLM_GROUPS; t++) {
            w[t] = vorrq_s8(w[t], moved(ones, done - t, (uint8_t)(1 << done)));
        }
    }
}

/// What a block's products are multiplied with: for its first 16 inputs, and for the last.
typedef struct {
    float32x4_t scales[2], minima[2];
} block_scales;

LLM_TEMPLATE float32x4_t of_bytes(uint32_t four, bool is_signed) {
    const uint8x8_t bytes = vreinterpret_u8_u32(vdup_n_u32(four));
    if (is_signed) { return vcvtq_f32_s32(vmovl_s16(vget_low_s16(vmovl_s8(vreinterpret_s8_u8(bytes))))); }
    return vcvtq_f32_u32(vmovl_u16(vget_low_u16(vmovl_u8(bytes))));
}

LLM_TEMPLATE block_scales
read_scales(llm_encoding encoding, const uint8_t *bytes, int quarter, float32x4_t d, float32x4_t m) {
    block_scales result;
    if (!llm_is_k(encoding)) {
        result.scales[0] = neon_halves(bytes + 8 * quarter);
        result.minima[0] = llm_stores_minimum(encoding)
                               ? neon_halves(bytes + 32 + 8 * quarter)
                               : vmulq_n_f32(result.scales[0], llm_fixed_minimum(encoding));
        return result;
    }
    const uint32_t both[2] = {llm_load_u32(bytes + 4 * quarter), llm_load_u32(bytes + 16 + 4 * quarter)};
    if (encoding == LLM_Q4_K || encoding == LLM_Q5_K) {
        result.scales[0] = vmulq_f32(d, of_bytes(both[0], false));
        result.minima[0] = vnegq_f32(vmulq_f32(m, of_bytes(both[1], false)));
        return result;
    }
    for (int half = 0; half < 2; half++) {
        if (encoding == LLM_Q2_K) {
            result.scales[half] = vmulq_f32(d, of_bytes(both[half] & 0x0f0f0f0f, false));
            result.minima[half] = vnegq_f32(vmulq_f32(m, of_bytes(both[half] >> 4 & 0x0f0f0f0f, false)));
        } else {
            result.scales[half] = vmulq_f32(d, of_bytes(both[half], true));
            result.minima[half] = vmulq_n_f32(result.scales[half], llm_fixed_minimum(encoding));
        }
    }
    return result;
}

/// Products of four groups with 16 numbers, added to `dot`.
LLM_TEMPLATE int32x4_t dot_groups(int32x4_t dot, const int8x16_t *w, int8x16_t numbers) {
    dot = vdotq_laneq_s32(dot, w[0], numbers, 0);
    dot = vdotq_laneq_s32(dot, w[1], numbers, 1);
    dot = vdotq_laneq_s32(dot, w[2], numbers, 2);
    return vdotq_laneq_s32(dot, w[3], numbers, 3);
}

/// Adds one block's products with one row to `sum`.
LLM_TEMPLATE float32x4_t add_block(
    llm_encoding encoding, const int8x16_t *w, const block_scales *s, const uint8_t *q,
    const llm_row_scales *row, float32x4_t sum) {
    const int8x16_t first = vreinterpretq_s8_u8(vld1q_u8(q)),
                    last = vreinterpretq_s8_u8(vld1q_u8(q + 16));
    const int32x4_t low = dot_groups(vdupq_n_s32(0), w, first);
    if (llm_groups_of_16(encoding)) {
        float32x4_t both = vmulq_f32(s->scales[0], vcvtq_f32_s32(low));
        both = vfmaq_f32(both, s->scales[1], vcvtq_f32_s32(dot_groups(vdupq_n_s32(0), w + 4, last)));
        sum = vfmaq_n_f32(sum, both, row->d);
        sum = vfmaq_n_f32(sum, s->minima[0], row->halves[0]);
        return vfmaq_n_f32(sum, s->minima[1], row->halves[1]);
    }
    const float32x4_t dot = vcvtq_f32_s32(dot_groups(low, w + 4, last));
    sum = vfmaq_f32(sum, vmulq_n_f32(s->scales[0], row->d), dot);
    return llm_has_minimum(encoding) ? vfmaq_n_f32(sum, s->minima[0], row->sum) : sum;
}

/// A panel times `rows` rows of a tile of `count`, from row `first` of the tile; four sums of four outputs
/// for each row.
LLM_TEMPLATE void multiply_rows(
    llm_encoding encoding, int rows, bool fetches, const llm_panel_layout *layout, const uint8_t *panel,
    const uint8_t *tile, size_t count, size_t first, float32x4_t (*sums)[LLM_QUARTERS]) {
    const uint8_t *q = tile + first * LLM_BLOCK, *scales = panel + layout->scales;
    const llm_row_scales *row = (const void *)(tile + count * LLM_BLOCK + first * sizeof *row);
    const size_t together = llm_is_k(encoding) ? LLM_CHUNK_BLOCKS : 1;
    LLM_UNROLL for (int r = 0; r < rows; r++) {
        LLM_UNROLL for (int i = 0; i < LLM_QUARTERS; i++) { sums[r][i] = vdupq_n_f32(0); }
    }
    for (size_t block = 0; block < layout->blocks; block++) {
        const uint8_t *super = panel + layout->supers + block / together * layout->super_bytes;
        const uint8_t *planes = panel + block * layout->quant_bytes;
        if (fetches) { llm_prefetch_block(layout, planes, scales); }
        LLM_UNROLL for (int i = 0; i < LLM_QUARTERS; i++) {
            float32x4_t d = vdupq_n_f32(0), m = d;
            if (llm_is_k(encoding)) { d = neon_halves(super + 8 * i); }
            if (llm_is_k(encoding) && llm_stores_minimum(encoding)) {
                m = neon_halves(super + 32 + 8 * i);
            }
            int8x16_t w[LLM_GROUPS];
            unpack(encoding, planes + 16 * i, w);
            const block_scales s = read_scales(encoding, scales, i, d, m);
            LLM_UNROLL for (int r = 0; r < rows; r++) {
                sums[r][i] = add_block(encoding, w, &s, q + r * LLM_BLOCK, row + r, sums[r][i]);
            }
        }
        scales += layout->scale_bytes;
        q += count * LLM_ROW_BLOCK;
        row = (const void *)((const uint8_t *)row + count * LLM_ROW_BLOCK);
    }
}

/// One panel times one tile, which begins at row `start`; `fetches` when it is the first to meet the panel.
LLM_TEMPLATE void multiply_tile(
    llm_encoding encoding, bool fetches, const llm_matmul *p, const llm_panel_layout *layout,
    size_t panel, size_t start) {
    const uint8_t *weights = (const uint8_t *)p->weights + panel * layout->bytes,
                  *tile = llm_tile(p, start);
    const size_t count = llm_smaller(p->rows - start, LLM_TILE);
    size_t row = 0;
#define LLM_MULTIPLY_ROWS(rows) \
    for (; row + rows <= count; row += rows) { \
        float32x4_t sums[rows][LLM_QUARTERS]; \
        multiply_rows(encoding, rows, fetches && row == 0, layout, weights, tile, count, row, sums); \
        for (size_t r = 0; r < rows; r++) { neon_store_outputs(p, panel, start + row + r, sums[r]); } \
    }
    LLM_MULTIPLY_ROWS(4)
    LLM_MULTIPLY_ROWS(1)
#undef LLM_MULTIPLY_ROWS
}

#include "matmul_blocks.h"

void llm_neon_matmul_blocks(const llm_matmul *p) { multiply_blocks(p); }

#pragma clang attribute pop

#else

typedef int llm_neon_matmul_blocks_is_empty;

#endif
