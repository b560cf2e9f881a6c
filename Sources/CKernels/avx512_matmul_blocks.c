#if defined(__x86_64__)

#include "avx512.h"

#pragma STDC FP_CONTRACT OFF
#pragma clang attribute push(__attribute__((target(LLM_AVX512_TARGET))), apply_to = function)

/// Words shifted left, or right where `count` is negative.
LLM_TEMPLATE __m512i shifted(__m512i value, int count) {
    return count >= 0 ? _mm512_slli_epi16(value, (unsigned)count)
                      : _mm512_srli_epi16(value, (unsigned)-count);
}

LLM_TEMPLATE __m512i masked(__m512i value, char mask) {
    return _mm512_and_si512(value, _mm512_set1_epi8(mask));
}

/// The groups of a block as unsigned bytes; those of LLM_Q8_0 with 128 added.
LLM_TEMPLATE void unpack(llm_encoding encoding, const uint8_t *planes, __m512i *w) {
    const int bits = llm_weight_bits(encoding);
    int done = 0;
    if (bits == 8) {
        LLM_UNROLL for (int t = 0; t < LLM_GROUPS; t++) {
            w[t] = _mm512_xor_si512(_mm512_loadu_si512(planes + 64 * t), _mm512_set1_epi8(-128));
        }
        return;
    }
    if (bits >= 4) {
        LLM_UNROLL for (int t = 0; t < 4; t++) {
            __m512i both = _mm512_loadu_si512(planes + 64 * t);
            w[t] = masked(both, 15);
            w[t + 4] = masked(_mm512_srli_epi16(both, 4), 15);
        }
        planes += 256;
        done = 4;
    }
    if (bits - done >= 2) {
        const __m512i pairs[2] = {_mm512_loadu_si512(planes), _mm512_loadu_si512(planes + 64)};
        LLM_UNROLL for (int t = 0; t < LLM_GROUPS; t++) {
            __m512i two = masked(shifted(pairs[t / 4], done - 2 * (t % 4)), (char)(3 << done));
            w[t] = done ? _mm512_or_si512(w[t], two) : two;
        }
        planes += 128;
        done += 2;
    }
    if (bits > done) {
        const __m512i ones = _mm512_loadu_si512(planes);
        LLM_UNROLL for (int t = 0; t < LLM_GROUPS; t++) {
            w[t] = _mm512_or_si512(w[t], masked(shifted(ones, done - t), (char)(1 << done)));
        }
    }
}

/// What a block's products are multiplied with: for its first 16 inputs, and for the last.
typedef struct {
    __m512 scales[2], minima[2];
} block_scales;

LLM_TEMPLATE __m512 halves_at(const uint8_t *bytes) {
    return _mm512_cvtph_ps(_mm256_loadu_si256((const void *)bytes));
}

LLM_TEMPLATE __m512 of_u8(__m128i bytes) { return _mm512_cvtepi32_ps(_mm512_cvtepu8_epi32(bytes)); }

LLM_TEMPLATE block_scales read_scales(llm_encoding encoding, const uint8_t *bytes, __m512 d, __m512 m) {
    const __m128i first = _mm_loadu_si128((const void *)bytes),
                  second = _mm_loadu_si128((const void *)(bytes + 16));
    const __m512 minus = _mm512_set1_ps(-0.0f), fixed = _mm512_set1_ps(llm_fixed_minimum(encoding));
    const __m128i nibble = _mm_set1_epi8(15);
    block_scales result;
    switch (encoding) {
    case LLM_Q4_K:
    case LLM_Q5_K:
        result.scales[0] = _mm512_mul_ps(d, of_u8(first));
        result.minima[0] = _mm512_xor_ps(_mm512_mul_ps(m, of_u8(second)), minus);
        break;
    case LLM_Q2_K: {
        const __m128i low[2] = {_mm_and_si128(first, nibble), _mm_and_si128(second, nibble)};
        const __m128i high[2] = {
            _mm_and_si128(_mm_srli_epi16(first, 4), nibble),
            _mm_and_si128(_mm_srli_epi16(second, 4), nibble)};
        for (int half = 0; half < 2; half++) {
            result.scales[half] = _mm512_mul_ps(d, of_u8(low[half]));
            result.minima[half] = _mm512_xor_ps(_mm512_mul_ps(m, of_u8(high[half])), minus);
        }
        break;
    }
    case LLM_Q3_K:
    case LLM_Q6_K:
        result.scales[0] = _mm512_mul_ps(d, _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(first)));
        result.scales[1] = _mm512_mul_ps(d, _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(second)));
        result.minima[0] = _mm512_mul_ps(result.scales[0], fixed);
        result.minima[1] = _mm512_mul_ps(result.scales[1], fixed);
        break;
    default:
        result.scales[0] = halves_at(bytes);
        result.minima[0] =
            llm_stores_minimum(encoding) ? halves_at(bytes + 32) : _mm512_mul_ps(result.scales[0], fixed);
    }
    return result;
}

LLM_TEMPLATE __m512i numbers_at(const uint8_t *q, int group) {
    int four;
    memcpy(&four, q + 4 * group, sizeof four);
    return _mm512_set1_epi32(four);
}

/// Adds one block's products with one row to `sum`.
LLM_TEMPLATE __m512 add_block(
    llm_encoding encoding, const __m512i *w, const block_scales *s, const uint8_t *q,
    const llm_row_scales *row, __m512 sum) {
    const __m512 d = _mm512_set1_ps(row->d);
    if (llm_groups_of_16(encoding)) {
        __m512i dots[2] = {_mm512_setzero_si512(), _mm512_setzero_si512()};
        LLM_UNROLL for (int t = 0; t < LLM_GROUPS; t++) {
            dots[t / 4] = _mm512_dpbusd_epi32(dots[t / 4], w[t], numbers_at(q, t));
        }
        __m512 both = _mm512_mul_ps(s->scales[0], _mm512_cvtepi32_ps(dots[0]));
        both = _mm512_fmadd_ps(s->scales[1], _mm512_cvtepi32_ps(dots[1]), both);
        sum = _mm512_fmadd_ps(d, both, sum);
        sum = _mm512_fmadd_ps(s->minima[0], _mm512_set1_ps(row->halves[0]), sum);
        return _mm512_fmadd_ps(s->minima[1], _mm512_set1_ps(row->halves[1]), sum);
    }
    __m512i dot = _mm512_setzero_si512();
    if (encoding == LLM_Q8_0) {
        dot = _mm512_sub_epi32(dot, _mm512_slli_epi32(_mm512_set1_epi32(row->count), 7));
    }
    LLM_UNROLL for (int t = 0; t < LLM_GROUPS; t++) {
        dot = _mm512_dpbusd_epi32(dot, w[t], numbers_at(q, t));
    }
    sum = _mm512_fmadd_ps(_mm512_mul_ps(s->scales[0], d), _mm512_cvtepi32_ps(dot), sum);
    return llm_has_minimum(encoding) ? _mm512_fmadd_ps(s->minima[0], _mm512_set1_ps(row->sum), sum) : sum;
}

/// A panel times `rows` rows of a tile of `count`, from row `first` of the tile.
LLM_TEMPLATE void multiply_rows(
    llm_encoding encoding, int rows, bool fetches, const llm_panel_layout *layout, const uint8_t *panel,
    const uint8_t *tile, size_t count, size_t first, __m512 *sums) {
    const uint8_t *q = tile + first * LLM_BLOCK, *scales = panel + layout->scales,
                  *supers = panel + layout->supers;
    const llm_row_scales *row = (const void *)(tile + count * LLM_BLOCK + first * sizeof *row);
    const size_t together = llm_is_k(encoding) ? LLM_CHUNK_BLOCKS : 1;
    LLM_UNROLL for (int r = 0; r < rows; r++) { sums[r] = _mm512_setzero_ps(); }
    for (size_t block = 0; block < layout->blocks; block += together) {
        __m512 d = _mm512_setzero_ps(), m = d;
        if (llm_is_k(encoding)) {
            d = halves_at(supers);
            if (llm_stores_minimum(encoding)) { m = halves_at(supers + 32); }
            supers += layout->super_bytes;
        }
        for (size_t i = 0; i < together; i++) {
            if (fetches) { llm_prefetch_block(layout, panel, scales); }
            __m512i w[LLM_GROUPS];
            unpack(encoding, panel, w);
            block_scales s = read_scales(encoding, scales, d, m);
            LLM_UNROLL for (int r = 0; r < rows; r++) {
                sums[r] = add_block(encoding, w, &s, q + r * LLM_BLOCK, row + r, sums[r]);
            }
            panel += layout->quant_bytes;
            scales += layout->scale_bytes;
            q += count * LLM_ROW_BLOCK;
            row = (const void *)((const uint8_t *)row + count * LLM_ROW_BLOCK);
        }
    }
}

LLM_TEMPLATE void store_rows(
    int rows, const llm_matmul *p, size_t panel, size_t row, const __m512 *sums) {
    const size_t output = panel * LLM_PANEL, count = llm_smaller(p->outputs - output, LLM_PANEL);
    const __mmask16 mask = (__mmask16)((1u << count) - 1);
    const __m512 bias = p->bias ? _mm512_maskz_loadu_ps(mask, p->bias + output) : _mm512_setzero_ps();
    LLM_UNROLL for (int r = 0; r < rows; r++) {
        __m512 sum = p->bias ? _mm512_add_ps(sums[r], bias) : sums[r];
        _mm512_mask_storeu_ps(p->y + (row + (size_t)r) * p->y_stride + output, mask, sum);
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
        __m512 sums[rows]; \
        multiply_rows(encoding, rows, fetches && row == 0, layout, weights, tile, count, row, sums); \
        store_rows(rows, p, panel, start + row, sums); \
    }
    LLM_MULTIPLY_ROWS(8)
    LLM_MULTIPLY_ROWS(4)
    LLM_MULTIPLY_ROWS(2)
    LLM_MULTIPLY_ROWS(1)
#undef LLM_MULTIPLY_ROWS
}

#include "matmul_blocks.h"

void llm_avx512_matmul_blocks(const llm_matmul *p) { multiply_blocks(p); }

#pragma clang attribute pop

#else

typedef int llm_avx512_matmul_blocks_is_empty;

#endif
