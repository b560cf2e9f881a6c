#include "attention.cuh"
// Attention with tensor cores over one wide row for keys and values: WIDTH columns, a multiple of 32, of which values are
// the first VALUES, a multiple of 64 up to 512 (multi-head latent attention in its absorbed form, arXiv 2405.04434). A block
// of eight warps has QUERIES of them, 16 or 32, and reads each row once for all: four warps for each 16 queries score 8 keys
// each, then every warp adds up 64 columns of values.

enum {
    KEYS = 32,                  // of a tile; two tiles are under way
    ROW = WIDTH + 8,            // a row in shared memory: no bank twice for eight rows
    WEIGHT_ROW = KEYS + 8,
};

template <int QUERIES> struct LatentState {
    float tops[4][QUERIES], sums[4][QUERIES];
    // Of the part, and of those before.
    float top[QUERIES], sum[QUERIES], total_top[QUERIES], total_sum[QUERIES];
    i32 slots[2][KEYS];

    // The largest score so far, with those that were just scored.
    __device__ __forceinline__ float new_top(int q) const {
        return fmaxf(fmaxf(fmaxf(tops[0][q], tops[1][q]), fmaxf(tops[2][q], tops[3][q])), top[q]);
    }
};

static __device__ __forceinline__ float shift_of(float top) { return top == -INFINITY ? 0.f : top; }

template <class T, int QUERIES> static __device__ __forceinline__ void attend_latent(const Attention &a) {
    constexpr int MT = QUERIES / 16, PIECES = WIDTH * 2 / 16;
    DYNAMIC_SHARED(shared);
    __shared__ LatentState<QUERIES> state;
    T *queries = (T *)shared, *tiles = queries + QUERIES * ROW, *weights = tiles + 2 * KEYS * ROW;
    const Task t = a.tasks[blockIdx.y];
    const int tid = threadIdx.x, lane = tid & 31, warp = tid >> 5, head = blockIdx.x, group = a.query_heads / a.heads;
    const i32 *slots = a.slots + t.slots;
    // Of a query of the task: its row, its head, its position.
    auto index_of = [&](int q) { return t.first_query + min(q, t.queries - 1); };
    auto position_of = [&](int q) { return t.first_position + index_of(q) / group * a.row_step; };

    const int low_key = first_key(position_of(0), a.window);
    const int first_tile = max(t.first_part * PART_KEYS, low_key) / KEYS;
    const int end = min(t.last_part * PART_KEYS, position_of(QUERIES - 1) + 1);
    const int last_tile = (end + KEYS - 1) / KEYS;

    auto read_slots = [&](int tile) {
        if (tid < KEYS) state.slots[tile & 1][tid] = slots[max(0, min(tile * KEYS + tid, end - 1))];
    };
    // A group of copies, even where there is no tile. Rows from `end` on become zeros.
    auto load = [&](int tile) {
        if (tile < last_tile)
#pragma unroll 3
            for (int i = tid; i < KEYS * PIECES; i += 256) {
                const int row = i / PIECES, piece = i % PIECES;
                const i64 place = ((i64)state.slots[tile & 1][row] * a.heads + head) * WIDTH;
                copy_async(
                    tiles + ((tile & 1) * KEYS + row) * ROW + piece * 8, (const T *)a.keys + place + piece * 8,
                    tile * KEYS + row < end);
            }
        commit_copies();
    };

    for (int i = tid; i < QUERIES * (WIDTH / 2); i += 256) {
        const int q = i / (WIDTH / 2), column = i % (WIDTH / 2) * 2, index = index_of(q);
        const float *from = a.q + (t.first_row + index / group) * a.q_stride +
                            (i64)(head * group + index % group) * WIDTH + column;
        *(u32 *)(queries + q * ROW + column) = pack(from[0], from[1], T());
    }
    if (tid < QUERIES) {
        state.top[tid] = state.total_top[tid] = -INFINITY;
        state.sum[tid] = state.total_sum[tid] = 0;
    }
    read_slots(first_tile);
    read_slots(first_tile + 1);
    __syncthreads();
    load(first_tile);

    // This warp scores keys `quarter * 8` on of a tile, for 16 queries.
    const bool scores = warp < 4 * MT;
    const int quarter = warp / MT, mine = warp % MT * 16 + (lane >> 2);
    const bool adds = warp < VALUES / 64;
    const float scale = a.scale * 1.4426950408889634f;
    float out[MT][8][4] = {}, total[MT][8][4] = {};
    for (int tile = first_tile; tile < last_tile; ++tile) {
        wait_copies<0>();
        __syncthreads();
        load(tile + 1);
        read_slots(tile + 2);
        const T *keys = tiles + (tile & 1) * KEYS * ROW;
        float s[4] = {};
        if (scores) {
#pragma unroll 3
            for (int k = 0; k < WIDTH / 32; ++k) {
                u32 b[4];
                load_matrices(b, keys + (quarter * 8 + (lane & 7)) * ROW + k * 32 + (lane >> 3) * 8);
#pragma unroll
                for (int h = 0; h < 2; ++h) {
                    u32 q[4];
                    load_matrices(
                        q, queries + (warp % MT * 16 + (lane & 15)) * ROW + k * 32 + h * 16 + (lane >> 4) * 8);
                    mma(s, q, b[2 * h], b[2 * h + 1], T());
                }
            }
            float top[2] = {-INFINITY, -INFINITY};
#pragma unroll
            for (int e = 0; e < 4; ++e) {
                const int q = mine + (e >> 1) * 8, key = tile * KEYS + quarter * 8 + (lane & 3) * 2 + (e & 1);
                const int position = position_of(q);
                s[e] = key >= first_key(position, a.window) && key <= position && key < end ? s[e] * scale : -INFINITY;
                top[e >> 1] = fmaxf(top[e >> 1], s[e]);
            }
#pragma unroll
            for (int h = 0; h < 2; ++h) {
                top[h] = fmaxf(top[h], __shfl_xor_sync(0xffffffffu, top[h], 1));
                top[h] = fmaxf(top[h], __shfl_xor_sync(0xffffffffu, top[h], 2));
                if ((lane & 3) == 0) state.tops[quarter][mine + h * 8] = top[h];
            }
        }
        __syncthreads();
        if (scores) {
#pragma unroll
            for (int h = 0; h < 2; ++h) {
                const float shift = shift_of(state.new_top(mine + h * 8));
                const float p0 = exp2_fast(s[2 * h] - shift), p1 = exp2_fast(s[2 * h + 1] - shift);
                *(u32 *)(weights + (mine + h * 8) * WEIGHT_ROW + quarter * 8 + (lane & 3) * 2) = pack(p0, p1, T());
                float sum = p0 + p1;
                sum += __shfl_xor_sync(0xffffffffu, sum, 1);
                sum += __shfl_xor_sync(0xffffffffu, sum, 2);
                if ((lane & 3) == 0) state.sums[quarter][mine + h * 8] = sum;
            }
        }
        float keep[MT][2];
#pragma unroll
        for (int i = 0; i < MT; ++i)
#pragma unroll
            for (int h = 0; h < 2; ++h) {
                const int q = i * 16 + (lane >> 2) + h * 8;
                keep[i][h] = exp2_fast(state.top[q] - shift_of(state.new_top(q)));
            }
        __syncthreads();
        if (tid < QUERIES) {
            const float top = state.new_top(tid), kept = exp2_fast(state.top[tid] - shift_of(top));
            state.sum[tid] = state.sum[tid] * kept +
                             ((state.sums[0][tid] + state.sums[1][tid]) + (state.sums[2][tid] + state.sums[3][tid]));
            state.top[tid] = top;
        }
        if (adds) {
#pragma unroll
            for (int i = 0; i < MT; ++i)
#pragma unroll
                for (int j = 0; j < 8; ++j)
#pragma unroll
                    for (int e = 0; e < 4; ++e) out[i][j][e] *= keep[i][e >> 1];
#pragma unroll
            for (int k = 0; k < KEYS / 16; ++k) {
                u32 p[MT][4];
#pragma unroll
                for (int i = 0; i < MT; ++i)
                    load_matrices(p[i], weights + (i * 16 + (lane & 15)) * WEIGHT_ROW + k * 16 + (lane >> 4) * 8);
#pragma unroll
                for (int j = 0; j < 4; ++j) {
                    u32 b[4];
                    load_matrices_transposed(b, keys + (k * 16 + (lane & 15)) * ROW + warp * 64 + j * 16 + (lane >> 4) * 8);
#pragma unroll
                    for (int i = 0; i < MT; ++i) {
                        mma(out[i][2 * j], p[i], b[0], b[1], T());
                        mma(out[i][2 * j + 1], p[i], b[2], b[3], T());
                    }
                }
            }
        }
        if (t.state >= 0 || (tile + 1 < last_tile && (tile + 1) * KEYS % PART_KEYS)) continue;
        // The part is whole: its state joins those before.
        __syncthreads();
#pragma unroll
        for (int i = 0; i < MT; ++i)
#pragma unroll
            for (int h = 0; h < 2; ++h) {
                const int q = i * 16 + (lane >> 2) + h * 8;
                float top = state.total_top[q], before, now;
                merge_factors(top, state.top[q], before, now);
#pragma unroll
                for (int j = 0; j < 8; ++j)
#pragma unroll
                    for (int e = 2 * h; e < 2 * h + 2; ++e) {
                        total[i][j][e] = merged(total[i][j][e], before, out[i][j][e], now);
                        out[i][j][e] = 0;
                    }
            }
        __syncthreads();
        if (tid < QUERIES) {
            float before, now;
            merge_factors(state.total_top[tid], state.top[tid], before, now);
            state.total_sum[tid] = merged(state.total_sum[tid], before, state.sum[tid], now);
            state.top[tid] = -INFINITY;
            state.sum[tid] = 0;
        }
    }
    wait_copies<0>();
    __syncthreads();
    if (!adds) return;
#pragma unroll
    for (int i = 0; i < MT; ++i)
#pragma unroll
        for (int h = 0; h < 2; ++h) {
            const int q = i * 16 + (lane >> 2) + h * 8, row = index_of(q) / group;
            const int query_head = head * group + index_of(q) % group;
            if (q >= t.queries) continue;
            float *to = nullptr;
            if (t.state >= 0) {
                to = a.states + ((t.state + (i64)row * t.parts) * a.query_heads + query_head) * (VALUES + 2);
                if (warp == 0 && (lane & 3) == 0) {
                    to[0] = state.top[q];
                    to[1] = state.sum[q];
                }
            }
            const i64 r = t.first_row + row;
#pragma unroll
            for (int j = 0; j < 8; ++j)
#pragma unroll
                for (int e = 0; e < 2; ++e) {
                    const int column = warp * 64 + j * 8 + (lane & 3) * 2 + e;
                    if (to) {
                        to[2 + column] = out[i][j][2 * h + e];
                        continue;
                    }
                    const float v = total[i][j][2 * h + e] / state.total_sum[q];
                    a.y[r * a.y_stride + query_head * VALUES + column] = v;
                    store_packed(a.packed, a.packed_type, r * a.packed_stride + query_head * VALUES + column, v);
                }
        }
}

// gridDim: key-value heads and tasks. The backend's LatentKernel computes the shared memory.
#define ATTEND(T, QUERIES) \
    extern "C" __global__ void __launch_bounds__(256) attend_latent_##T##_##QUERIES(ATTENTION_PARAMETERS) { \
        const Attention a = ATTENTION_ARGUMENTS; \
        attend_latent<T, QUERIES>(a); \
    }
ATTEND(bf16, 16)
ATTEND(bf16, 32)
ATTEND(f16, 16)
ATTEND(f16, 32)
