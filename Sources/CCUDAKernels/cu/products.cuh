#pragma once
#include "common.cuh"
// What products of rows of 16-bit numbers share.

enum { TILE_K = 64 };

// Whether blocks beyond the first of blockIdx.z compute segments of their own. Products with many weights at once have none.
#ifdef EXPERTS
enum { SPLITS = 0 };
#else
enum { SPLITS = 1 };
#endif

// Where element (row, 8 * chunk) of a tile lies: rows of 128 bytes, swizzled so that eight rows meet no bank twice.
static __device__ __forceinline__ int tile_index(int row, int chunk) { return row * TILE_K + ((chunk ^ (row & 7)) << 3); }

// Which rows of x a block multiplies, as numbers from x on: those side by side, or those of a list in shared memory.
struct RowsInOrder {
    u32 stride;
    __device__ __forceinline__ u32 operator()(int at) const { return (u32)at * stride; }
};
struct RowsOfList {
    const u32 *offsets;
    __device__ __forceinline__ u32 operator()(int at) const { return offsets[at]; }
};

// Rows of one expert of a mixture, at most as many as a block has: `first` on of those sorted by expert.
struct __align__(16) ExpertTile { i32 expert, first, rows, unused; };

// The rows of x that a tile has: those that `sources` names, or the sorted ones themselves.
template <int BM>
static __device__ __forceinline__ RowsOfList list_rows(
    const ExpertTile &tile, const i32 *sources, i64 stride, u32 (&offsets)[BM]) {
    for (int i = threadIdx.x; i < BM; i += blockDim.x) {
        const int at = tile.first + min(i, tile.rows - 1);
        offsets[i] = (u32)(sources ? sources[at] : at) * (u32)stride;
    }
    __syncthreads();
    return {offsets};
}

struct __align__(8) Pair { float first, second; };

// Where sums of a block go: to y, with the bias at the end of the last segment, or, split, to the segment's place.
struct Output {
    float *y;
    i64 y_stride;
    float *partial;
    const float *bias;
    int m, n;
    bool split, begins, ends;

    __device__ __forceinline__ float joined(float before, int column, float sum) const {
        const float v = begins ? sum : before + sum;
        return !split && ends && bias ? v + bias[column] : v;
    }

    // Sums of two neighbours.
    __device__ __forceinline__ void store(int row, int column, float first, float second) const {
        if (row >= m || column >= n) return;
        float *at = split ? partial + (i64)blockIdx.z * m * n + (i64)row * n + column : y + row * y_stride + column;
        if (column + 1 < n && (u64)at % sizeof(Pair) == 0) {
            const Pair before = begins ? Pair{} : *(const Pair *)at;
            *(Pair *)at = {joined(before.first, column, first), joined(before.second, column + 1, second)};
            return;
        }
        at[0] = joined(begins ? 0.f : at[0], column, first);
        if (column + 1 < n) at[1] = joined(begins ? 0.f : at[1], column + 1, second);
    }
};

// Sums of a warp as mma.m16n8k16 leaves them, which become zero.
template <int MT, int NT>
static __device__ __forceinline__ void store_sums(float (&sums)[MT][NT][4], const Output &to, int m0, int n0) {
    const int lane = threadIdx.x & 31;
#pragma unroll
    for (int i = 0; i < MT; ++i)
#pragma unroll
        for (int j = 0; j < NT; ++j)
#pragma unroll
            for (int e = 0; e < 4; e += 2) {
                to.store(
                    m0 + i * 16 + (lane >> 2) + (e >> 1) * 8, n0 + j * 8 + (lane & 3) * 2, sums[i][j][e], sums[i][j][e + 1]);
                sums[i][j][e] = sums[i][j][e + 1] = 0;
            }
}
