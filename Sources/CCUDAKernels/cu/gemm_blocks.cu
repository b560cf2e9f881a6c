#include "blocks.cuh"
#include "products.cuh"
// y = x Wᵀ + bias for weights of few bits, which stay so in memory; FORMAT says which, when only one is wanted.
//
// One way for all numbers of rows: a warp unpacks its part of the weights in registers, into the layout that
// mma.m16n8k16 takes, and multiplies it with as many rows as the block has. Weights become float16, rounded once, rows are
// float16, and an output is the sum over K that gemm.cu describes, in the same segments. So few rows, which wait for the
// memory that weights come from, and many, which share what was unpacked, get the same bits.

// A lane's codes and scales of one record.
template <class F> struct LaneCodes {
    using P = Packed<F>;
    u32 low[P::LOW_WORDS], high[P::HAS_HIGH ? P::HIGH_WORDS : 1], scales[P::SCALE_WORDS], bases[F::LEVELS ? P::BASE_WORDS : 1];

    __device__ __forceinline__ void read(const unsigned char *record, const unsigned char *base, int lane) {
        constexpr int EACH = P::LOW_WORDS < 4 ? P::LOW_WORDS : 4;
#pragma unroll
        for (int j = 0; j < P::LOW_WORDS; j += EACH) take<EACH>(low + j, record + 4 * P::low_word(lane, j));
        if (P::HAS_HIGH) take<P::HIGH_WORDS>(high, record + P::HIGH_AT + lane * 4 * P::HIGH_WORDS);
        take<P::SCALE_WORDS>(scales, record + P::SCALES_AT + (lane >> 2) * 4 * P::SCALE_WORDS);
        if (F::LEVELS) take<P::BASE_WORDS>(bases, base + (lane >> 2) * 4 * P::BASE_WORDS);
    }

    // N words with one instruction: an address of words of a lane each would meet every bank several times.
    template <int N> static __device__ __forceinline__ void take(u32 *to, const unsigned char *from) {
        struct __align__(N > 0 ? 4 * N : 4) Some { u32 w[N > 0 ? N : 1]; };
        const Some some = *(const Some *)from;
#pragma unroll
        for (int j = 0; j < N; ++j) to[j] = some.w[j];
    }

    // Scale and minimum of output n + 8 * second and a group, each twice.
    __device__ __forceinline__ void factors(int second, int group, u32 &scale, u32 &minimum) const {
        minimum = 0;
        if (!F::LEVELS && !F::MINIMUM) {
            scale = __byte_perm(scales[second], 0, group ? 0x3232 : 0x1010);
            return;
        }
        // 1024 + a byte has the byte as its last bits.
        const u32 word = scales[second];
        if (F::LEVELS && !F::MINIMUM) {
            const u32 level = subtract_halves(__byte_perm(word, 0x64646464u, 0x4040 + 0x0101 * group), 0x64806480u);
            scale = multiply_halves(level, __byte_perm(bases[0], 0, second ? 0x3232 : 0x1010));
            return;
        }
        u32 both;
        if (!F::LEVELS) {
            both = scales[second * 2 + group];
        } else {
            const u32 levels = F::GROUP == 32 ? __byte_perm(word, 0x64646464u, group ? 0x4342 : 0x4140)
                                              : (word >> 8 * group & 15) | (word >> (8 * group + 4) & 15) << 16 | 0x64006400u;
            both = multiply_halves(subtract_halves(levels, 0x64006400u), bases[second]);
        }
        scale = __byte_perm(both, 0, 0x1010);
        minimum = __byte_perm(both, 0, 0x3232);
    }

    // Pair `p` of this lane's numbers.
    __device__ __forceinline__ u32 pair(int p, u32 scale, u32 minimum) const {
        const int at = p * F::LOW % 16, before = at >= 8 ? 8 : 0, shift = at - before;
        constexpr u32 mask = ((1u << F::LOW) - 1) * 0x00010001u;
        u32 codes = low[p * F::LOW / 16] >> before & mask << shift;
        if (P::HAS_HIGH) {
            constexpr u32 high_mask = P::HAS_HIGH ? ((1u << F::HIGH) - 1) * 0x00010001u : 0;
            const int from = p * F::HIGH % 16, to = shift + F::LOW;
            const u32 word = high[p * F::HIGH / 16];
            codes |= (to >= from ? word << (to - from) : word >> (from - to)) & high_mask << to;
        }
        // 1024 + code * 2^shift, of which 2^-shift and a subtraction make the code, all without rounding.
        codes |= 0x64006400u;
        const u32 offset = 0x64006400u + 0x00010001u * F::OFFSET;
        u32 numbers;
        if (shift == 0) {
            numbers = subtract_halves(codes, offset);
        } else {
            const u32 inverse = pack(1.f / (float)(1 << shift), 1.f / (float)(1 << shift), f16());
            const float away = -(1024.f / (float)(1 << shift) + (float)F::OFFSET);
            numbers = fuse_halves(codes, inverse, pack(away, away, f16()));
        }
        return F::MINIMUM ? fuse_halves(numbers, scale, minimum) : multiply_halves(numbers, scale);
    }
};

// One block: BM x BN outputs, rows from m0 on; one warp: WM x WN. Segments and `partial` as in gemm.cu. `bases` are the
// numbers of levels.
template <class F, int BM, int BN, int WM, int WN, int STAGES, class Rows>
static __device__ __forceinline__ void gemm_blocks(
    const f16 *x, const Rows rows, int m0, const unsigned char *w, i64 k_stride, float *y, i64 y_stride, float *partial,
    const float *bias, int m, int n, int tiles, int segment_tiles, const unsigned char *bases) {
    using P = Packed<F>;
    constexpr int THREADS = (BM / WM) * (BN / WN) * 32, MT = WM / 16, UNITS = WN / 16, STRIPS = BN / 16;
    constexpr int X_BYTES = BM * TILE_K * 2, PIECES = P::RECORD / 16, BASE_PIECES = P::BASES / 16;
    constexpr int STAGE = X_BYTES + STRIPS * (P::RECORD + P::BASES);
    DYNAMIC_SHARED(shared);
    const int tid = threadIdx.x, lane = tid & 31, warp = tid >> 5;
    const int n0 = blockIdx.y * BN, all_strips = (n + 15) / 16;
    const int wm = warp % (BM / WM) * WM, wn = warp / (BM / WM) * WN;
    const bool split = SPLITS && gridDim.z > 1;
    const int first = split ? blockIdx.z * segment_tiles : 0;
    const int last = split ? min(first + segment_tiles, tiles) : tiles;

    const int rows_x = m - 1 - m0;
    const f16 *from_x = x + (i64)m0 * k_stride + (tid & 7) * 8;
    auto load = [&](int tile) {
        unsigned char *stage = shared + (tile - first) % STAGES * STAGE;
#pragma unroll 4
        for (int i = tid >> 3; i < BM; i += THREADS / 8)
            copy_async(
                (f16 *)stage + tile_index(i, tid & 7), from_x + rows(min(i, rows_x)) + tile * TILE_K, i <= rows_x);
        // Strips that are not there are those before; what they give is not written.
        unsigned char *records = stage + X_BYTES, *ends = records + STRIPS * P::RECORD;
#pragma unroll
        for (int i = tid; i < STRIPS * PIECES; i += THREADS) {
            const i64 strip = min(n0 / 16 + i / PIECES, all_strips - 1);
            copy_async(records + i * 16, w + (strip * tiles + tile) * P::RECORD + i % PIECES * 16);
        }
        if (F::LEVELS)
            for (int i = tid; i < STRIPS * BASE_PIECES; i += THREADS) {
                constexpr int EACH = BASE_PIECES > 0 ? BASE_PIECES : 1;
                const i64 strip = min(n0 / 16 + i / EACH, all_strips - 1);
                copy_async(ends + i * 16, bases + (strip * (tiles / 4) + tile / 4) * P::BASES + i % EACH * 16);
            }
    };

    float sums[MT][2 * UNITS][4] = {};
    for (int s = 0; s < STAGES - 1; ++s) {
        if (first + s < last) load(first + s);
        commit_copies();
    }
    for (int tile = first; tile < last; ++tile) {
        wait_copies<STAGES - 2>();
        __syncthreads();
        if (tile + STAGES - 1 < last) load(tile + STAGES - 1);
        commit_copies();
        const unsigned char *stage = shared + (tile - first) % STAGES * STAGE;
        const f16 *a = (const f16 *)stage;
        LaneCodes<F> codes[UNITS];
#pragma unroll
        for (int u = 0; u < UNITS; ++u)
            codes[u].read(
                stage + X_BYTES + (wn / 16 + u) * P::RECORD,
                stage + X_BYTES + STRIPS * P::RECORD + (wn / 16 + u) * P::BASES, lane);
#pragma unroll
        for (int k = 0; k < TILE_K / 16; ++k) {
            u32 fa[MT][4];
#pragma unroll
            for (int i = 0; i < MT; ++i) load_matrices(fa[i], a + tile_index(wm + i * 16 + (lane & 15), 2 * k + (lane >> 4)));
#pragma unroll
            for (int j = 0; j < 2 * UNITS; ++j) {
                u32 scale, minimum;
                codes[j / 2].factors(j & 1, k * 16 / F::GROUP, scale, minimum);
                const int p = (j & 1) * 8 + k * 2;
                const u32 b0 = codes[j / 2].pair(p, scale, minimum), b1 = codes[j / 2].pair(p + 1, scale, minimum);
#pragma unroll
                for (int i = 0; i < MT; ++i) mma(sums[i][j], fa[i], b0, b1, f16());
            }
        }
        const bool ends = tile + 1 == last;
        if (!ends && (tile + 1) % segment_tiles) continue;
        const bool begins = split || tile < segment_tiles;
        store_sums(sums, Output{y, y_stride, partial, bias, m, n, split, begins, ends}, m0 + wm, n0 + wn);
    }
}

// Packs `rows` rows of the file's blocks, `row_bytes` each, as the strips from `records` and `bases` on; a warp for each
// record. What is beyond the rows or the inputs becomes zero.
template <class F>
static __device__ __forceinline__ void pack_blocks(
    const u8 *from, i64 row_bytes, u32 *records, u32 *bases, int rows, int inputs, int tiles) {
    using P = Packed<F>;
    const int lane = threadIdx.x & 31, tile = blockIdx.x * (blockDim.x >> 5) + (threadIdx.x >> 5), strip = blockIdx.y;
    if (tile >= tiles) return;
    u32 *record = records + ((i64)strip * tiles + tile) * (P::RECORD / 4);
    // The block that holds an input of an output, or null.
    auto block = [&](int output, int input) -> const u8 * {
        const int row = strip * 16 + output;
        return row < rows && input < inputs ? from + row * row_bytes + (i64)(input / F::ELEMENTS) * F::BYTES : nullptr;
    };
    u32 low[P::LOW_WORDS] = {}, high[P::HAS_HIGH ? P::HIGH_WORDS : 1] = {};
    for (int p = 0; p < 16; ++p)
        for (int e = 0; e < 2; ++e) {
            const int input = tile * TILE_K + p / 2 % 4 * 16 + (lane & 3) * 2 + p % 2 * 8 + e;
            const u8 *b = block((lane >> 2) + p / 8 * 8, input);
            const u32 code = b ? F::code(b, input % F::ELEMENTS) : (u32)F::OFFSET;
            low[p * F::LOW / 16] |= (code & ((1u << F::LOW) - 1)) << (p * F::LOW % 16 + 16 * e);
            if (P::HAS_HIGH) high[p * F::HIGH / 16] |= code >> F::LOW << (p * F::HIGH % 16 + 16 * e);
        }
    for (int j = 0; j < P::LOW_WORDS; ++j) record[P::low_word(lane, j)] = low[j];
    for (int j = 0; j < P::HIGH_WORDS; ++j) record[P::HIGH_AT / 4 + lane * P::HIGH_WORDS + j] = high[j];
    if (lane >= 8) return;
    u32 *scales = record + P::SCALES_AT / 4 + lane * P::SCALE_WORDS;
    for (int second = 0; second < 2; ++second) {
        const int output = lane + 8 * second;
        u32 word = 0;
        for (int g = 0; g < TILE_K / F::GROUP; ++g) {
            const int input = tile * TILE_K + g * F::GROUP;
            const u8 *b = block(output, input);
            const int group = input % F::ELEMENTS / F::GROUP;
            if (!F::LEVELS && F::MINIMUM) {
                scales[second * 2 + g] = b ? F::scale(b) | F::minimum(b) << 16 : 0;
            } else if (!F::LEVELS) {
                word |= (b ? F::scale(b) : 0) << 16 * g;
            } else if (!F::MINIMUM) {
                word |= (u32)((b ? F::level(b, group) : 0) + 128) << 8 * g;
            } else if (F::GROUP == 32) {
                word |= (b ? (u32)F::level(b, group) | (u32)F::minimum_level(b, group) << 8 : 0) << 16 * g;
            } else {
                word |= (b ? (u32)F::level(b, group) | (u32)F::minimum_level(b, group) << 4 : 0) << 8 * g;
            }
        }
        if (F::LEVELS || !F::MINIMUM) scales[second] = word;
        if (!F::LEVELS || tile % 4) continue;
        const u8 *b = block(output, tile * TILE_K);
        u32 *base = bases + ((i64)strip * (tiles / 4) + tile / 4) * (P::BASES / 4) + lane * P::BASE_WORDS;
        if (F::MINIMUM) base[second] = b ? F::scale(b) | F::minimum(b) << 16 : 0;
        else ((u16 *)base)[second] = b ? (u16)F::scale(b) : 0;
    }
}

// Rows of a table that is as its file has it.
template <class F>
static __device__ __forceinline__ void embed_blocks(
    const i32 *tokens, const u8 *table, i64 row_bytes, float *y, i64 y_stride, int columns) {
    const u8 *row = table + tokens[blockIdx.x] * row_bytes;
    float *out = y + blockIdx.x * y_stride;
    for (int c = threadIdx.x; c < columns; c += blockDim.x)
        out[c] = number_of<F>(row + (i64)(c / F::ELEMENTS) * F::BYTES, c % F::ELEMENTS);
}

#ifndef EXPERTS
#define GEMM_(F, BM, BN, WM, WN, STAGES) \
    extern "C" __global__ void __launch_bounds__((BM / WM) * (BN / WN) * 32) gemm_##F##_##BM##x##BN( \
        const f16 *x, const unsigned char *w, i64 k_stride, float *y, i64 y_stride, float *partial, const float *bias, \
        int m, int n, int tiles, int segment_tiles, const unsigned char *bases) { \
        gemm_blocks<F, BM, BN, WM, WN, STAGES>( \
            x, RowsInOrder{(u32)k_stride}, blockIdx.x * BM, w, k_stride, y, y_stride, partial, bias, m, n, tiles, \
            segment_tiles, bases); \
    }
#define ROWS_(F) \
    extern "C" __global__ void pack_##F( \
        const u8 *from, i64 row_bytes, u32 *records, u32 *bases, int rows, int inputs, int tiles) { \
        pack_blocks<F>(from, row_bytes, records, bases, rows, inputs, tiles); \
    } \
    extern "C" __global__ void embed_##F( \
        const i32 *tokens, const u8 *table, i64 row_bytes, float *y, i64 y_stride, int columns) { \
        embed_blocks<F>(tokens, table, row_bytes, y, y_stride, columns); \
    }
#else
// Many weights at once; numbers of levels are `records` bytes behind a weight's start.
#define GEMM_(F, BM, BN, WM, WN, STAGES) \
    extern "C" __global__ void __launch_bounds__((BM / WM) * (BN / WN) * 32) experts_gemm_##F##_##BM##x##BN( \
        const f16 *x, const i32 *sources, i64 k_stride, const ExpertTile *of_rows, const u64 *weights, float *y, \
        i64 y_stride, int n, int tiles, i64 records) { \
        __shared__ u32 offsets[BM]; \
        const ExpertTile tile = of_rows[blockIdx.x]; \
        const unsigned char *w = (const unsigned char *)weights[tile.expert]; \
        if (!w || !tile.rows) return; \
        gemm_blocks<F, BM, BN, WM, WN, STAGES>( \
            x, list_rows(tile, sources, k_stride, offsets), 0, w, k_stride, y + tile.first * y_stride, y_stride, \
            nullptr, nullptr, tile.rows, n, tiles, tiles, w + records); \
    } \
    extern "C" __global__ void __launch_bounds__((BM / WM) * (BN / WN) * 32) heads_gemm_##F##_##BM##x##BN( \
        const f16 *x, i64 x_stride, i64 k_stride, const u64 *weights, float *y, i64 y_stride, i64 y_step, int m, int n, \
        int tiles, i64 records) { \
        const int head = blockIdx.z, m0 = blockIdx.x * BM; \
        const unsigned char *w = (const unsigned char *)weights[head]; \
        if (!w) return; \
        gemm_blocks<F, BM, BN, WM, WN, STAGES>( \
            x + m0 * x_stride + head * k_stride, RowsInOrder{(u32)x_stride}, 0, w, k_stride, \
            y + m0 * y_stride + head * y_step, y_stride, nullptr, nullptr, m - m0, n, tiles, tiles, w + records); \
    }
#define ROWS_(F)
#endif
// The backend's GEMMShape lists the same shapes.
#define KERNELS_(F) \
    GEMM_(F, 16, 64, 16, 16, 6) \
    GEMM_(F, 64, 64, 64, 16, 5) \
    GEMM_(F, 128, 128, 64, 32, 4) \
    ROWS_(F)
#define KERNELS(F) KERNELS_(F)
#ifdef FORMAT
KERNELS(FORMAT)
#else
KERNELS(q4_0)
KERNELS(q4_1)
KERNELS(q5_0)
KERNELS(q5_1)
KERNELS(q8_0)
KERNELS(q2_K)
KERNELS(q3_K)
KERNELS(q4_K)
KERNELS(q5_K)
KERNELS(q6_K)
#endif
