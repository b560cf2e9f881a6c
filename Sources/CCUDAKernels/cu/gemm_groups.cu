#include "groups.cuh"
#include "products.cuh"
// The product of gemm.cu for compute capability 9.0: four warps together multiply 64 rows with 16 columns of the sum at a
// time. All numbers of rows go this way there, so that their sums are taken in one order. With EXPERTS, for many weights at
// once.

// One block: BM x BN outputs, rows from m0 on; four warps: 64 of its rows.
template <class T, int BM, int BN, int STAGES, class Rows>
static __device__ __forceinline__ void gemm(
    const T *x, const Rows rows, int m0, const T *w, i64 k_stride, float *y, i64 y_stride, float *partial,
    const float *bias, int m, int n, int tiles, int segment_tiles) {
    constexpr int THREADS = BM * 2, STAGE = (BM + BN) * TILE_K, NT = BN / 8;
    DYNAMIC_SHARED(shared_bytes);
    // The launch asks for 1024 bytes more than the stages take.
    T *shared = (T *)align_shared(shared_bytes, 1024);
    const int tid = threadIdx.x, lane = tid & 31, warp = tid >> 5, group = tid >> 7;
    const int n0 = blockIdx.y * BN;
    const bool split = SPLITS && gridDim.z > 1;
    const int first = split ? blockIdx.z * segment_tiles : 0;
    const int last = split ? min(first + segment_tiles, tiles) : tiles;

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

    float sums[NT * 4];
    // Two stages are in use: one by products that are under way, one by those that are told next.
    for (int s = 0; s < STAGES - 2; ++s) {
        if (first + s < last) load(first + s);
        commit_copies();
    }
    for (int tile = first; tile < last;) {
        const int segment_first = tile, segment_last = split ? last : min((tile / segment_tiles + 1) * segment_tiles, last);
        for (; tile < segment_last; ++tile) {
            wait_copies<STAGES - 3>();
            publish_copies();
            __syncthreads();
            const T *a = shared + (tile - first) % STAGES * STAGE + group * 64 * TILE_K;
            const T *b = shared + (tile - first) % STAGES * STAGE + BM * TILE_K;
            begin_products();
#pragma unroll
            for (int k = 0; k < TILE_K / 16; ++k) multiply_tiles<BN>(sums, a, b, k, k > 0 || tile > segment_first);
            commit_products();
            // Nobody reads the stage that this one takes: all have waited for its products below, before the barrier.
            if (tile + STAGES - 2 < last) load(tile + STAGES - 2);
            commit_copies();
            wait_products<1>();
        }
        wait_products<0>();
        const Output to = {y, y_stride, partial, bias, m, n, split, split || segment_first == 0, tile == last};
        const int row0 = m0 + warp * 16 + (lane >> 2);
#pragma unroll
        for (int j = 0; j < NT; ++j)
#pragma unroll
            for (int e = 0; e < 4; e += 2)
                to.store(row0 + (e >> 1) * 8, n0 + j * 8 + (lane & 3) * 2, sums[j * 4 + e], sums[j * 4 + e + 1]);
    }
}

#ifndef EXPERTS
#define GEMM(T, BM, BN, STAGES) \
    extern "C" __global__ void __launch_bounds__(BM * 2, 1) group_gemm_##T##_##BM##x##BN( \
        const T *x, const T *w, i64 k_stride, float *y, i64 y_stride, float *partial, const float *bias, int m, int n, \
        int tiles, int segment_tiles) { \
        gemm<T, BM, BN, STAGES>( \
            x, RowsInOrder{(u32)k_stride}, blockIdx.x * BM, w, k_stride, y, y_stride, partial, bias, m, n, tiles, \
            segment_tiles); \
    }
#else
#define GEMM(T, BM, BN, STAGES) \
    extern "C" __global__ void __launch_bounds__(BM * 2, 1) experts_group_gemm_##T##_##BM##x##BN( \
        const T *x, const i32 *sources, i64 k_stride, const ExpertTile *of_rows, const u64 *weights, float *y, \
        i64 y_stride, int n, int tiles) { \
        __shared__ u32 offsets[BM]; \
        const ExpertTile tile = of_rows[blockIdx.x]; \
        const T *w = (const T *)weights[tile.expert]; \
        if (!w || !tile.rows) return; \
        gemm<T, BM, BN, STAGES>( \
            x, list_rows(tile, sources, k_stride, offsets), 0, w, k_stride, y + tile.first * y_stride, y_stride, \
            nullptr, nullptr, tile.rows, n, tiles, tiles); \
    } \
    extern "C" __global__ void __launch_bounds__(BM * 2, 1) heads_group_gemm_##T##_##BM##x##BN( \
        const T *x, i64 x_stride, i64 k_stride, const u64 *weights, float *y, i64 y_stride, i64 y_step, int m, int n, \
        int tiles) { \
        const int head = blockIdx.z, m0 = blockIdx.x * BM; \
        const T *w = (const T *)weights[head]; \
        if (!w) return; \
        gemm<T, BM, BN, STAGES>( \
            x + m0 * x_stride + head * k_stride, RowsInOrder{(u32)x_stride}, 0, w, k_stride, \
            y + m0 * y_stride + head * y_step, y_stride, nullptr, nullptr, m - m0, n, tiles, tiles); \
    }
#endif
// The backend's GEMMShape lists the same shapes.
#define GEMMS(T) \
    GEMM(T, 64, 32, 6) \
    GEMM(T, 64, 64, 6) \
    GEMM(T, 128, 128, 6) \
    GEMM(T, 128, 256, 4)
GEMMS(bf16)
GEMMS(f16)
