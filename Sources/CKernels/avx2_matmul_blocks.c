#if defined(__x86_64__)

#include "avx2.h"
#include "panels.h"

#pragma STDC FP_CONTRACT OFF
#pragma clang attribute push(__attribute__((target("avx2,fma,f16c"))), apply_to = function)

/// Words shifted left, or right where `count` is negative.
LLM_TEMPLATE __m256i shifted(__m256i value, int count) {
    return count >= 0 ? _mm256_slli_epi16(value, count) : _mm256_srli_epi16(value, -count);
}

LLM_TEMPLATE __m256i masked(__m256i value, char mask) {
    return _mm256_and_si256(value, _mm256_set1_epi8(mask));
}

LLM_TEMPLATE __m256i load(const uint8_t *bytes) { return _mm256_loadu_si256((const void *)bytes); }

/// The groups of a block for eight outputs, as unsigned bytes; those of LLM_Q8_0 are signed.
LLM_TEMPLATE void unpack(llm_encoding encoding, const uint8_t *planes, __m256i *w) {
    const int bits = llm_weight_bits(encoding);
    int done = 0;
    if (bits == 8) {
        LLM_UNROLL for (int t = 0; t < LLM_GROUPS; t++) { w[t] = load(planes + 64 * t); }
        return;
    }
    if (bits >= 4) {
        LLM_UNROLL for (int t = 0; t < 4; t++) {
            __m256i both = load(planes + 64 * t);
            w[t] = masked(both, 15);
            w[t + 4] = masked(_mm256_srli_epi16(both, 4), 15);
        }
        planes += 256;
        done = 4;
    }
    if (bits - done >= 2) {
        const __m256i pairs[2] = {load(planes), load(planes + 64)};
        LLM_UNROLL for (int t = 0; t < LLM_GROUPS; t++) {
            __m256i two = masked(shifted(pairs[t / 4], done - 2 * (t % 4)), (char)(3 << done));
            w[t] = done ? _mm256_or_si256(w[t], two) : two;
        }
        planes += 128;
        done += 2;
    }
    if (bits > done) {
        const __m256i ones = load(planes);
        LLM_UNROLL for (int t = 0; t < LLM_GROUPS; t++) {
            w[t] = _mm256_or_si256(w[t], masked(shifted(ones, done - t), (char)(1 << done)));
        }
    }
}

/// What a block's products are multiplied with: for its first 16 inputs, and for the last.
typedef struct {
    __m256 scales[2], minima[2];
} block_scales;

LLM_TEMPLATE __m256 halves_at(const uint8_t *bytes) {
    return _mm256_cvtph_ps(_mm_loadu_si128((const void *)bytes));
}

LLM_TEMPLATE __m256 of_u8(__m128i bytes) { return _mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(bytes)); }

LLM_TEMPLATE block_scales
read_scales(llm_encoding encoding, const uint8_t *bytes, size_t lane, __m256 d, __m256 m) {
    const __m256 minus = _mm256_set1_ps(-0.0f), fixed = _mm256_set1_ps(llm_fixed_minimum(encoding));
    const __m128i nibble = _mm_set1_epi8(15);
    block_scales result;
    if (!llm_is_k(encoding)) {
        result.scales[0] = halves_at(bytes + 2 * lane);
        result.minima[0] = llm_stores_minimum(encoding) ? halves_at(bytes + 32 + 2 * lane)
                                                        : _mm256_mul_ps(result.scales[0], fixed);
        return result;
    }
    const __m128i both[2] = {
        _mm_loadl_epi64((const void *)(bytes + lane)),
        _mm_loadl_epi64((const void *)(bytes + 16 + lane))};
    if (encoding == LLM_Q4_K || encoding == LLM_Q5_K) {
        result.scales[0] = _mm256_mul_ps(d, of_u8(both[0]));
        result.minima[0] = _mm256_xor_ps(_mm256_mul_ps(m, of_u8(both[1])), minus);
        return result;
    }
    for (int half = 0; half < 2; half++) {
        if (encoding == LLM_Q2_K) {
            __m128i high = _mm_and_si128(_mm_srli_epi16(both[half], 4), nibble);
            result.scales[half] = _mm256_mul_ps(d, of_u8(_mm_and_si128(both[half], nibble)));
            result.minima[half] = _mm256_xor_ps(_mm256_mul_ps(m, of_u8(high)), minus);
        } else {
            result.scales[half] = _mm256_mul_ps(d, _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(both[half])));
            result.minima[half] = _mm256_mul_ps(result.scales[half], fixed);
        }
    }
    return result;
}

LLM_TEMPLATE __m256i numbers_at(const uint8_t *q, int group) {
    int four;
    memcpy(&four, q + 4 * group, sizeof four);
    return _mm256_set1_epi32(four);
}

/// How many groups' products add up in 16 bits: two products of a weight with 127 each.
LLM_TEMPLATE int groups_in_16_bits(llm_encoding encoding) {
    switch (llm_weight_bits(encoding)) {
    case 8: return 1; // 2 * 128 * 127 = 32512
    case 6: return 2; // 4 * 63 * 127 = 32004
    case 5: return 4; // 8 * 31 * 127 = 31496
    default: return 8;
    }
}

/// Products of groups `first ..< last`, summed for each output.
LLM_TEMPLATE __m256i
dot_groups(llm_encoding encoding, const __m256i *w, const uint8_t *q, int first, int last) {
    const int together = groups_in_16_bits(encoding);
    const __m256i one = _mm256_set1_epi16(1);
    __m256i dot = _mm256_setzero_si256();
    LLM_UNROLL for (int t = first; t < last; t += together) {
        __m256i pairs = _mm256_setzero_si256();
        LLM_UNROLL for (int i = t; i < t + together && i < last; i++) {
            __m256i numbers = numbers_at(q, i), products;
            if (encoding == LLM_Q8_0) {
                products = _mm256_maddubs_epi16(_mm256_abs_epi8(w[i]), _mm256_sign_epi8(numbers, w[i]));
            } else {
                products = _mm256_maddubs_epi16(w[i], numbers);
            }
            pairs = i == t ? products : _mm256_add_epi16(pairs, products);
        }
        __m256i sums = _mm256_madd_epi16(pairs, one);
        dot = t == first ? sums : _mm256_add_epi32(dot, sums);
    }
    return dot;
}

/// Adds one block's products with one row to `sum`.
LLM_TEMPLATE __m256 add_block(
    llm_encoding encoding, const __m256i *w, const block_scales *s, const uint8_t *q,
    const llm_row_scales *row, __m256 sum) {
    const __m256 d = _mm256_broadcast_ss(&row->d);
    if (llm_groups_of_16(encoding)) {
        __m256 both = _mm256_mul_ps(s->scales[0], _mm256_cvtepi32_ps(dot_groups(encoding, w, q, 0, 4)));
        both = _mm256_fmadd_ps(s->scales[1], _mm256_cvtepi32_ps(dot_groups(encoding, w, q, 4, 8)), both);
        sum = _mm256_fmadd_ps(d, both, sum);
        sum = _mm256_fmadd_ps(s->minima[0], _mm256_broadcast_ss(row->halves), sum);
        return _mm256_fmadd_ps(s->minima[1], _mm256_broadcast_ss(row->halves + 1), sum);
    }
    __m256 dot = _mm256_cvtepi32_ps(dot_groups(encoding, w, q, 0, 8));
    sum = _mm256_fmadd_ps(_mm256_mul_ps(s->scales[0], d), dot, sum);
    return llm_has_minimum(encoding) ? _mm256_fmadd_ps(s->minima[0], _mm256_broadcast_ss(&row->sum), sum)
                                     : sum;
}

/// A panel times `rows` rows of a tile of `count`, from row `first` of the tile; two sums of eight outputs
/// for each row.
LLM_TEMPLATE void multiply_rows(
    llm_encoding encoding, int rows, bool fetches, const llm_panel_layout *layout, const uint8_t *panel,
    const uint8_t *tile, size_t count, size_t first, __m256 (*sums)[2]) {
    const uint8_t *q = tile + first * LLM_BLOCK, *scales = panel + layout->scales,
                  *supers = panel + layout->supers;
    const llm_row_scales *row = (const void *)(tile + count * LLM_BLOCK + first * sizeof *row);
    const size_t together = llm_is_k(encoding) ? LLM_CHUNK_BLOCKS : 1;
    LLM_UNROLL for (int r = 0; r < rows; r++) { sums[r][0] = sums[r][1] = _mm256_setzero_ps(); }
    for (size_t block = 0; block < layout->blocks; block += together) {
        __m256 d[2] = {_mm256_setzero_ps(), _mm256_setzero_ps()}, m[2] = {d[0], d[0]};
        if (llm_is_k(encoding)) {
            for (int half = 0; half < 2; half++) {
                d[half] = halves_at(supers + 16 * half);
                if (llm_stores_minimum(encoding)) { m[half] = halves_at(supers + 32 + 16 * half); }
            }
            supers += layout->super_bytes;
        }
        for (size_t i = 0; i < together; i++) {
            if (fetches) { llm_prefetch_block(layout, panel, scales); }
            LLM_UNROLL for (int half = 0; half < 2; half++) {
                __m256i w[LLM_GROUPS];
                unpack(encoding, panel + 32 * half, w);
                block_scales s = read_scales(encoding, scales, 8 * (size_t)half, d[half], m[half]);
                LLM_UNROLL for (int r = 0; r < rows; r++) {
                    sums[r][half] = add_block(encoding, w, &s, q + r * LLM_BLOCK, row + r, sums[r][half]);
                }
            }
            panel += layout->quant_bytes;
            scales += layout->scale_bytes;
            q += count * LLM_ROW_BLOCK;
            row = (const void *)((const uint8_t *)row + count * LLM_ROW_BLOCK);
        }
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
        __m256 sums[rows][2]; \
        multiply_rows(encoding, rows, fetches && row == 0, layout, weights, tile, count, row, sums); \
        for (size_t r = 0; r < rows; r++) { avx2_store_outputs(p, panel, start + row + r, sums[r]); } \
    }
    LLM_MULTIPLY_ROWS(4)
    LLM_MULTIPLY_ROWS(2)
    LLM_MULTIPLY_ROWS(1)
#undef LLM_MULTIPLY_ROWS
}

#include "matmul_blocks.h"

void llm_avx2_matmul_blocks(const llm_matmul *p) { multiply_blocks(p); }

#pragma clang attribute pop

#else

typedef int llm_avx2_matmul_blocks_is_empty;

#endif
