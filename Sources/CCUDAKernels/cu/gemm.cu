#include "products.cuh"
// y = x Wᵀ + bias. Rows of x and W have their numbers along the sum (K) side by side, and are padded with zeros to
// whole tiles of 64.
//
// An output is the sum over K in order, 16 products at a time as mma.m16n8k16 takes them, in `segments` of
// `segment_tiles` tiles whose sums are then added in order. Segments depend on the weight's shape alone. So neither the
// number of rows, nor the size of a block's tile, nor who computes which segment shows in a result.
//
// With EXPERTS, the same for many weights at once, whose addresses a table has, and no sum has segments. A block has rows of
// one expert of a mixture; or the columns of rows that are head blockIdx.z's, which has a weight of its own. What has no
// address is another call's.

// One block: BM x BN outputs, rows from m0 on; one warp: WM x WN. With gridDim.z > 1 a block computes segment blockIdx.z
// and writes its sums to `partial`; otherwise all segments, one after the other.
template <class T, int BM, int BN, int WM, int WN, int STAGES, class Rows>
static __device__ __forceinline__ void gemm(
    const T *x, const Rows rows, int m0, const T *w, i64 k_stride, float *y, i64 y_stride, float *partial,
    const float *bias, int m, int n, int tiles, int segment_tiles) {
    constexpr int THREADS = (BM / WM) * (BN / WN) * 32, MT = WM / 16, NT = WN / 8;
    constexpr int STAGE = (BM + BN) * TILE_K;
    DYNAMIC_SHARED(shared_bytes);
    T *shared = (T *)shared_bytes;
    const int tid = threadIdx.x, lane = tid & 31, warp = tid >> 5;
    const int n0 = blockIdx.y * BN;
    const int wm = warp % (BM / WM) * WM, wn = warp / (BM / WM) * WN;
    const bool split = SPLITS && gridDim.z > 1;
    const int first = split ? blockIdx.z * segment_tiles : 0;
    const int last = split ? min(first + segment_tiles, tiles) : tiles;

    // Offsets from the block's first row fit 32 bits, which saves registers.
    const u32 stride = (u32)k_stride;
    const int rows_x = m - 1 - m0, rows_w = n - 1 - n0;
    const T *from_x = x + (i64)m0 * k_stride + (tid & 7) * 8, *from_w = w + (i64)n0 * k_stride + (tid & 7) * 8;
    auto load = [&](int tile) {
        T *stage = shared + (tile - first) % STAGES * STAGE;
#pragma unroll 4
        for (int i = 0; i < (BM + BN) * 8 / THREADS; ++i) {
            const int row = (i * THREADS + tid) >> 3;
            // Rows that are not there become zeros and are not read.
            const bool is_x = row < BM;
            const int at = is_x ? row : row - BM, most = is_x ? rows_x : rows_w;
            const T *from = is_x ? from_x + rows(min(at, most)) : from_w + (u32)min(at, most) * stride;
            copy_async(stage + tile_index(row, tid & 7), from + tile * TILE_K, at <= most);
        }
    };

    float sums[MT][NT][4] = {};
    for (int s = 0; s < STAGES - 1; ++s) {
        if (first + s < last) load(first + s);
        commit_copies();
    }
    for (int tile = first; tile < last; ++tile) {
        wait_copies<STAGES - 2>();
        __syncthreads();
        if (tile + STAGES - 1 < last) load(tile + STAGES - 1);
        commit_copies();
        const T *a = shared + (tile - first) % STAGES * STAGE, *b = a + BM * TILE_K;
#pragma unroll
        for (int k = 0; k < TILE_K / 16; ++k) {
            u32 fa[MT][4], fb[NT / 2][4];
#pragma unroll
            for (int i = 0; i < MT; ++i) load_matrices(fa[i], a + tile_index(wm + i * 16 + (lane & 15), 2 * k + (lane >> 4)));
#pragma unroll
            for (int j = 0; j < NT / 2; ++j)
                load_matrices(
                    fb[j], b + tile_index(wn + j * 16 + (lane & 7) + (lane >> 4 << 3), 2 * k + (lane >> 3 & 1)));
#pragma unroll
            for (int i = 0; i < MT; ++i)
#pragma unroll
                for (int j = 0; j < NT; ++j) mma(sums[i][j], fa[i], fb[j / 2][j % 2 * 2], fb[j / 2][j % 2 * 2 + 1], T());
        }
        const bool ends = tile + 1 == last;
        if (!ends && (tile + 1) % segment_tiles) continue;
        const bool begins = split || tile < segment_tiles;
        store_sums(sums, Output{y, y_stride, partial, bias, m, n, split, begins, ends}, m0 + wm, n0 + wn);
    }
}

#ifndef EXPERTS
#define GEMM(T, BM, BN, WM, WN, STAGES) \
    extern "C" __global__ void __launch_bounds__((BM / WM) * (BN / WN) * 32) gemm_##T##_##BM##x##BN( \
        const T *x, const T *w, i64 k_stride, float *y, i64 y_stride, float *partial, const float *bias, int m, int n, \
        int tiles, int segment_tiles) { \
        gemm<T, BM, BN, WM, WN, STAGES>( \
            x, RowsInOrder{(u32)k_stride}, blockIdx.x * BM, w, k_stride, y, y_stride, partial, bias, m, n, tiles, \
            segment_tiles); \
    }
#else
#define GEMM(T, BM, BN, WM, WN, STAGES) \
    extern "C" __global__ void __launch_bounds__((BM / WM) * (BN / WN) * 32) experts_gemm_##T##_##BM##x##BN( \
        const T *x, const i32 *sources, i64 k_stride, const ExpertTile *of_rows, const u64 *weights, float *y, \
        i64 y_stride, int n, int tiles) { \
        __shared__ u32 offsets[BM]; \
        const ExpertTile tile = of_rows[blockIdx.x]; \
        const T *w = (const T *)weights[tile.expert]; \
        if (!w || !tile.rows) return; \
        gemm<T, BM, BN, WM, WN, STAGES>( \
            x, list_rows(tile, sources, k_stride, offsets), 0, w, k_stride, y + tile.first * y_stride, y_stride, \
            nullptr, nullptr, tile.rows, n, tiles, tiles); \
    } \
    extern "C" __global__ void __launch_bounds__((BM / WM) * (BN / WN) * 32) heads_gemm_##T##_##BM##x##BN( \
        const T *x, i64 x_stride, i64 k_stride, const u64 *weights, float *y, i64 y_stride, i64 y_step, int m, int n, \
        int tiles) { \
        const int head = blockIdx.z, m0 = blockIdx.x * BM; \
        const T *w = (const T *)weights[head]; \
        if (!w) return; \
        gemm<T, BM, BN, WM, WN, STAGES>( \
            x + m0 * x_stride + head * k_stride, RowsInOrder{(u32)x_stride}, 0, w, k_stride, \
            y + m0 * y_stride + head * y_step, y_stride, nullptr, nullptr, m - m0, n, tiles, tiles); \
    }
#endif
// The backend's GEMMShape lists the same shapes.
#define GEMMS(T) \
    GEMM(T, 16, 64, 16, 16, 6) \
    GEMM(T, 32, 64, 32, 16, 5) \
    GEMM(T, 64, 64, 32, 32, 5) \
    GEMM(T, 128, 128, 64, 32, 4) \
    GEMM(T, 128, 256, 64, 64, 4)
GEMMS(bf16)
GEMMS(f16)

// The same in float32, term by term in order. A block of 256 threads computes 64 x 64 outputs, rows from m0 on. Rows of w
// are padded with zeros to whole tiles of 16, those of x are not.
template <class Rows>
static __device__ __forceinline__ void gemm_floats(
    const float *x, const Rows rows, int m0, const float *w, i64 w_stride, float *y, i64 y_stride, const float *bias, int m,
    int n, int k) {
    __shared__ float a[16][65], b[16][65];
    const int tid = threadIdx.x, tx = tid & 15, ty = tid >> 4, n0 = blockIdx.y * 64;
    float sums[4][4] = {};
    for (int k0 = 0; k0 < k; k0 += 16) {
        for (int i = tid; i < 64 * 16; i += 256) {
            const int row = i >> 4, c = i & 15;
            a[c][row] = m0 + row < m && k0 + c < k ? x[rows(row) + k0 + c] : 0.f;
            b[c][row] = n0 + row < n ? w[(n0 + row) * w_stride + k0 + c] : 0.f;
        }
        __syncthreads();
        for (int c = 0; c < 16; ++c)
            for (int i = 0; i < 4; ++i)
                for (int j = 0; j < 4; ++j) sums[i][j] = fmaf(a[c][ty * 4 + i], b[c][tx + j * 16], sums[i][j]);
        __syncthreads();
    }
    for (int i = 0; i < 4; ++i)
        for (int j = 0; j < 4; ++j) {
            const int row = m0 + ty * 4 + i, column = n0 + tx + j * 16;
            if (row < m && column < n) y[row * y_stride + column] = sums[i][j] + (bias ? bias[column] : 0.f);
        }
}

#ifdef EXPERTS
extern "C" __global__ void __launch_bounds__(256) experts_gemm_float(
    const float *x, const i32 *sources, i64 x_stride, const ExpertTile *of_rows, const u64 *weights, i64 w_stride, float *y,
    i64 y_stride, int n, int k) {
    __shared__ u32 offsets[64];
    const ExpertTile tile = of_rows[blockIdx.x];
    const float *w = (const float *)weights[tile.expert];
    if (!w || !tile.rows) return;
    gemm_floats(
        x, list_rows(tile, sources, x_stride, offsets), 0, w, w_stride, y + tile.first * y_stride, y_stride, nullptr,
        tile.rows, n, k);
}

extern "C" __global__ void __launch_bounds__(256) heads_gemm_float(
    const float *x, i64 x_stride, i64 x_step, const u64 *weights, i64 w_stride, float *y, i64 y_stride, i64 y_step, int m,
    int n, int k) {
    const int head = blockIdx.z, m0 = blockIdx.x * 64;
    const float *w = (const float *)weights[head];
    if (!w) return;
    gemm_floats(
        x + m0 * x_stride + head * x_step, RowsInOrder{(u32)x_stride}, 0, w, w_stride, y + m0 * y_stride + head * y_step,
        y_stride, nullptr, m - m0, n, k);
}
#else
extern "C" __global__ void __launch_bounds__(256) gemm_float(
    const float *x, i64 x_stride, const float *w, i64 w_stride, float *y, i64 y_stride, const float *bias, int m, int n,
    int k) {
    const int m0 = blockIdx.x * 64;
    gemm_floats(x + m0 * x_stride, RowsInOrder{(u32)x_stride}, m0, w, w_stride, y, y_stride, bias, m, n, k);
}

// Adds the segments' sums in order, then the bias. blockIdx.y is the row.
extern "C" __global__ void gemm_reduce(
    const float *partial, float *y, i64 y_stride, const float *bias, int m, int n, int segments) {
    const int column = blockIdx.x * blockDim.x + threadIdx.x;
    const i64 row = blockIdx.y;
    if (column >= n) return;
    float v = partial[row * n + column];
    for (int s = 1; s < segments; ++s) v = v + partial[((i64)s * m + row) * n + column];
    if (bias) v += bias[column];
    y[row * y_stride + column] = v;
}
#endif
