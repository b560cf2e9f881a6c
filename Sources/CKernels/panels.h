/// How the CPU wants weights and quantised activations: panels of 16 outputs, tiles of 16 rows.
///
/// A panel holds 16 consecutive outputs so that each has a lane of its own in a vector; a result is then a
/// running sum over the inputs in their order, whatever the width of the vectors and the rows of the call.
#ifndef LLM_PANELS_H
#define LLM_PANELS_H

#include "blocks.h"

enum {
    LLM_PANEL = 16,    // outputs of a panel
    LLM_TILE = 16,     // activation rows of a tile; the last one may have fewer
    LLM_GROUPS = 8,    // vectors of a block: group `t` holds inputs 4t ..< 4t + 4 of every output
    LLM_ROW_BLOCK = 48 // bytes of one row's block of activations: 32 numbers, then llm_row_scales
};

/// What belongs to 32 quantised activations beside the numbers.
typedef struct {
    /// The value of 1.
    float d;
    /// `d * Σ q` of all 32.
    float sum;
    union {
        /// With one scale for 32: `Σ q`.
        int32_t count;
        /// With one scale for 256: `d * Σ q` of the first 16, and of the last.
        float halves[2];
    };
} llm_row_scales;

_Static_assert(sizeof(llm_row_scales) == 16, "scales of a row's block have no padding");

/// Where the parts of a panel of blocks begin. First the numbers of all blocks, `quant_bytes` each, then what
/// blocks have of scales, then what every eight blocks of the _K encodings have in common.
typedef struct {
    size_t blocks, quant_bytes, scale_bytes, super_bytes, scales, supers, bytes;
} llm_panel_layout;

/// Bits of a weight. Four of each lie in planes of nibbles (group `t` in the low half of byte `4t`'s vector
/// for t < 4, groups 4 to 7 in the high halves); then two more in planes of pairs; then one in a plane of
/// bits.
static inline int llm_weight_bits(llm_encoding encoding) {
    switch (encoding) {
    case LLM_Q2_K: return 2;
    case LLM_Q3_K: return 3;
    case LLM_Q4_0:
    case LLM_Q4_1:
    case LLM_Q4_K: return 4;
    case LLM_Q5_0:
    case LLM_Q5_1:
    case LLM_Q5_K: return 5;
    case LLM_Q6_K: return 6;
    default: return 8;
    }
}

static inline bool llm_is_k(llm_encoding encoding) { return encoding >= LLM_Q2_K; }

/// Whether a block's products are corrected by a multiple of the sum of activations.
static inline bool llm_has_minimum(llm_encoding encoding) { return encoding != LLM_Q8_0; }

/// Whether blocks store the minimum; otherwise it is a fixed multiple of the scale.
static inline bool llm_stores_minimum(llm_encoding encoding) {
    return encoding == LLM_Q4_1 || encoding == LLM_Q5_1 || encoding == LLM_Q2_K || encoding == LLM_Q4_K ||
           encoding == LLM_Q5_K;
}

/// The minimum in scales, where blocks do not store it.
static inline float llm_fixed_minimum(llm_encoding encoding) {
    switch (encoding) {
    case LLM_Q4_0: return -8.0f;
    case LLM_Q5_0: return -16.0f;
    case LLM_Q3_K: return -4.0f;
    case LLM_Q6_K: return -32.0f;
    default: return 0.0f;
    }
}

static inline size_t llm_round_up(size_t value, size_t multiple) {
    return (value + multiple - 1) / multiple * multiple;
}

static inline llm_panel_layout llm_layout(llm_encoding encoding, size_t inputs) {
    llm_panel_layout layout = {.blocks = inputs / LLM_BLOCK};
    layout.quant_bytes = (size_t)llm_weight_bits(encoding) * LLM_BLOCK * LLM_PANEL / 8;
    layout.scale_bytes = encoding == LLM_Q4_1 || encoding == LLM_Q5_1 ? 4 * LLM_PANEL : 2 * LLM_PANEL;
    if (llm_is_k(encoding)) { layout.super_bytes = (llm_stores_minimum(encoding) ? 4 : 2) * LLM_PANEL; }
    layout.scales = layout.blocks * layout.quant_bytes;
    layout.supers = layout.scales + layout.blocks * layout.scale_bytes;
    size_t end = layout.supers + layout.blocks / LLM_CHUNK_BLOCKS * layout.super_bytes;
    layout.bytes = llm_round_up(end, 64);
    return layout;
}

static inline size_t llm_panel_bytes(llm_encoding encoding, size_t inputs) {
    if (encoding <= LLM_BF16) { return llm_round_up(inputs * LLM_PANEL * llm_block_bytes(encoding), 64); }
    return llm_layout(encoding, inputs).bytes;
}

/// Rows whose activations stay in the second-level cache while several panels pass over them.
static inline size_t llm_rows_together(size_t bytes_per_row) {
    size_t rows = (192 << 10) / (bytes_per_row ? bytes_per_row : 1) / LLM_TILE * LLM_TILE;
    return rows ? rows : LLM_TILE;
}

/// The scales of a row's blocks that are all zero, or that hold a NaN or an infinity: `value` says which.
static inline void llm_set_scales(llm_row_scales *scales, size_t shared, float value) {
    scales->d = scales->sum = scales->halves[0] = scales->halves[1] = value;
    if (shared == LLM_BLOCK) { scales->count = 0; }
}

/// The value of 1 in a group whose largest magnitude is `maximum`, as llama.cpp has it: a float16 for groups
/// of 32, where it is a normal one, and for those of 256 the inverse of what numbers are multiplied with.
static inline float llm_row_step(float maximum, size_t shared) {
    if (shared != LLM_BLOCK) { return 1.0f / (127.0f / maximum); }
    const float step = maximum / 127.0f;
    return step >= 0x1p-14f && step <= 65504.0f ? llm_float_of_f16(llm_f16_of_float(step)) : step;
}

/// The scales of a block of a group whose largest magnitude is `maximum`, and whose halves have the sums
/// `first` and `last`.
static inline llm_row_scales llm_scales_of(float maximum, int first, int last, size_t shared) {
    const float d = llm_row_step(maximum, shared);
    llm_row_scales scales = {.d = d, .sum = d * (float)(first + last), .halves = {0, 0}};
    if (shared == LLM_BLOCK) {
        scales.count = first + last;
    } else {
        scales.halves[0] = d * (float)first;
        scales.halves[1] = d * (float)last;
    }
    return scales;
}

/// `quantize_rows`, given how to find the largest magnitude and how to quantise a block.
static inline __attribute__((always_inline)) void llm_quantize_tiles(
    const float *x, size_t x_stride, size_t rows, size_t inputs, size_t shared, size_t first_tile,
    size_t last_tile, void *out, uint32_t (*largest_magnitude)(const float *, size_t),
    void (*quantize_block)(const float *, size_t, uint32_t, int8_t *, llm_row_scales *)) {
    const size_t blocks = inputs / LLM_BLOCK;
    for (size_t row = first_tile * LLM_TILE; row < llm_smaller(rows, last_tile * LLM_TILE); row++) {
        const size_t start = row / LLM_TILE * LLM_TILE, count = llm_smaller(rows - start, LLM_TILE);
        uint8_t *tile = (uint8_t *)out + start * blocks * LLM_ROW_BLOCK;
        const float *numbers = x + row * x_stride;
        for (size_t first = 0; first < inputs; first += shared) {
            const uint32_t largest = largest_magnitude(numbers + first, shared);
            for (size_t i = first; i < first + shared; i += LLM_BLOCK) {
                uint8_t *block = tile + i / LLM_BLOCK * count * LLM_ROW_BLOCK;
                uint8_t *scales = block + count * LLM_BLOCK + (row - start) * sizeof(llm_row_scales);
                int8_t *q = (int8_t *)block + (row - start) * LLM_BLOCK;
                quantize_block(numbers + i, shared, largest, q, (void *)scales);
            }
        }
    }
}

/// Fetches what the next panel has where `quants` and `scales` are in this one. With few rows the memory
/// decides how long a product takes, and processors do not foresee that a panel's end leads to the next one's
/// start. Only the first rows that meet a panel do so; for others it is in the cache.
static inline void llm_prefetch_block(
    const llm_panel_layout *layout, const uint8_t *quants, const uint8_t *scales) {
    for (size_t i = 0; i < layout->quant_bytes; i += 64) {
        __builtin_prefetch(quants + layout->bytes + i, 0, 2);
    }
    __builtin_prefetch(scales + layout->bytes, 0, 2);
}

/// The same for plain numbers: what some inputs further on have in each of `panels` panels.
static inline __attribute__((always_inline)) void llm_prefetch_input(
    llm_encoding encoding, int panels, size_t panel_bytes, const uint8_t *weights, size_t index) {
    const size_t offset = index * LLM_PANEL * llm_block_bytes(encoding);
    if (offset % 64) { return; }
    for (int k = 0; k < panels; k++) {
        __builtin_prefetch(weights + (size_t)k * panel_bytes + offset + 1024, 0, 2);
    }
}

/// Where the activations of a tile begin.
static inline const uint8_t *llm_tile(const llm_matmul *p, size_t row) {
    return (const uint8_t *)p->x + row * (p->inputs / LLM_BLOCK) * LLM_ROW_BLOCK;
}

#endif
