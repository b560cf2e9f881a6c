#include "attention.cuh"
// Attention with tensor cores, for heads whose keys and values are WIDTH columns wide, a multiple of 16 up to 256. One
// warp has 16 queries, one block of threads WARPS of them, which share the keys and values they load. Queries and
// probabilities are rounded to the element of the products; all else is float32. With SCORES defined, scores are also
// capped, sloped or seen in a pattern.

enum {
    CHUNKS = WIDTH / 8,         // of 16 bytes, in a row of 16-bit numbers
    ROW = WIDTH + 8,            // a row in shared memory: no bank twice for eight rows
    TILE = BLOCK_KEYS * ROW,
    BYTE_ROW = WIDTH + 16,
    BYTE_TILE = BLOCK_KEYS * BYTE_ROW,
    // Beyond this a task has one part, as registers for two sums would not do.
    MERGES = WIDTH <= 128,
};

// Slots of the keys that a warp loads: lane i holds those of its rows i and i + 32.
template <int WARPS> struct SlotRow {
    i32 slot[2];
    __device__ void read(const i32 *slots, int key, int last, int warp, int lane) {
#pragma unroll
        for (int i = 0; i < (WARPS == 1 ? 2 : 1); ++i)
            slot[i] = slots[max(0, min(key + warp * (BLOCK_KEYS / WARPS) + i * 32 + lane, last))];
    }
    __device__ i32 of(int row) const {
        const i32 a = __shfl_sync(0xffffffffu, slot[0], row & 31);
        if (WARPS > 1) return a;
        const i32 b = __shfl_sync(0xffffffffu, slot[1], row & 31);
        return row < 32 ? a : b;
    }
};

// Starts copying a block of keys or values, `bytes` a row; rows from `end` on become zeros.
template <int WARPS, int BYTES, int STRIDE>
static __device__ __forceinline__ void load_block(
    unsigned char *tile, const void *numbers, const SlotRow<WARPS> &slots, int key, int end, int heads, int head, int warp,
    int lane) {
    constexpr int ROWS = BLOCK_KEYS / WARPS, PIECES = BYTES / 16;
#pragma unroll
    for (int i = 0; i < (ROWS * PIECES + 31) / 32; ++i) {
        const int index = i * 32 + lane, row = index / PIECES, piece = index % PIECES;
        const i64 slot = slots.of(row);
        const int at = warp * ROWS + row;
        if (ROWS * PIECES % 32 == 0 || row < ROWS) copy_async(
            tile + at * STRIDE + piece * 16, (const unsigned char *)numbers + (slot * heads + head) * BYTES + piece * 16,
            key + at < end);
    }
}

// Turns a tile of bytes into one of 16-bit numbers.
template <class T, int WARPS> static __device__ __forceinline__ void widen_tile(T *to, const i8 *from) {
    for (int i = threadIdx.x; i < BLOCK_KEYS * (WIDTH / 8); i += WARPS * 32) {
        const int row = i / (WIDTH / 8), column = i % (WIDTH / 8) * 8;
        const i8 *b = from + row * BYTE_ROW + column;
        Words w;
#pragma unroll
        for (int j = 0; j < 4; ++j) w.w[j] = pack((float)b[2 * j], (float)b[2 * j + 1], T());
        *(Words *)(to + row * ROW + column) = w;
    }
}

template <class T, int WARPS, bool BYTES, int STAGES>
static __device__ __forceinline__ void attend_tiles(const Attention &a) {
    constexpr int STAGE = BYTES ? 2 * BYTE_TILE : 2 * TILE * 2, QT = WIDTH / 16, NT = WIDTH / 8, KT = BLOCK_KEYS / 8;
    DYNAMIC_SHARED(shared);
    T *wide = (T *)(shared + STAGES * STAGE);
    float *scales = (float *)(shared + STAGES * STAGE + (BYTES ? 2 * TILE * 2 : 0));
    const Task t = a.tasks[blockIdx.y];
    const int tid = threadIdx.x, lane = tid & 31, warp = tid >> 5, head = blockIdx.x, group = a.query_heads / a.heads;
    const i32 *slots = a.slots + t.slots;

    // This lane's two queries: rows lane / 4 and lane / 4 + 8 of the warp's tile.
    int row[2], query_head[2], position[2], first[2];
#pragma unroll
    for (int h = 0; h < 2; ++h) {
        const int index = t.first_query + min(warp * 16 + (lane >> 2) + h * 8, t.queries - 1);
        row[h] = index / group;
        query_head[h] = head * group + index % group;
        position[h] = t.first_position + row[h] * a.row_step;
        first[h] = first_key(position[h], a.window);
    }
    u32 q[QT][4];
#pragma unroll
    for (int i = 0; i < QT; ++i)
#pragma unroll
        for (int e = 0; e < 4; ++e) {
            const int h = e & 1;
            const float *from = a.q + (t.first_row + row[h]) * a.q_stride + (i64)query_head[h] * WIDTH + i * 16 +
                                (lane & 3) * 2 + (e >> 1) * 8;
            q[i][e] = pack(from[0], from[1], T());
        }

    const int top_position = t.first_position + (t.first_query + t.queries - 1) / group * a.row_step;
    const int low_key = first_key(t.first_position + t.first_query / group * a.row_step, a.window);
    const int first_block = max(t.first_part * PART_KEYS, low_key) / BLOCK_KEYS;
    const int end = min(t.last_part * PART_KEYS, top_position + 1);
    const int last_block = (end + BLOCK_KEYS - 1) / BLOCK_KEYS;

    SlotRow<WARPS> next;
    float next_scale[2][2];
    auto read_ahead = [&](int block) {
        next.read(slots, block * BLOCK_KEYS, end - 1, warp, lane);
        if (BYTES && warp == 0) {
#pragma unroll
            for (int i = 0; i < 2; ++i) {
                const i64 place = (i64)slots[max(0, min(block * BLOCK_KEYS + i * 32 + lane, end - 1))] * a.heads + head;
                next_scale[0][i] = widen(a.key_scales[place]);
                next_scale[1][i] = widen(a.value_scales[place]);
            }
        }
    };
    // Two groups of copies a block: keys, then values.
    auto load = [&](int block) {
        const int index = (block - first_block) % STAGES;
        unsigned char *stage = shared + index * STAGE;
        constexpr int ROW_BYTES = BYTES ? WIDTH : 2 * WIDTH, STRIDE = BYTES ? BYTE_ROW : 2 * ROW;
        const bool exists = block < last_block;
        if (exists) {
            load_block<WARPS, ROW_BYTES, STRIDE>(
                stage, a.keys, next, block * BLOCK_KEYS, end, a.heads, head, warp, lane);
            if (BYTES && warp == 0) {
#pragma unroll
                for (int i = 0; i < 2; ++i) {
                    scales[index * 2 * BLOCK_KEYS + i * 32 + lane] = next_scale[0][i];
                    scales[(index * 2 + 1) * BLOCK_KEYS + i * 32 + lane] = next_scale[1][i];
                }
            }
        }
        commit_copies();
        if (exists)
            load_block<WARPS, ROW_BYTES, STRIDE>(
                stage + STAGE / 2, a.values, next, block * BLOCK_KEYS, end, a.heads, head, warp, lane);
        commit_copies();
        if (block + 1 < last_block) read_ahead(block + 1);
    };

    float m[2] = {-INFINITY, -INFINITY}, sum[2] = {}, out[NT][4] = {};
    float total_m[2] = {-INFINITY, -INFINITY}, total_sum[2] = {}, total[MERGES ? NT : 1][4] = {};
    read_ahead(first_block);
#pragma unroll
    for (int s = 0; s < STAGES - 1; ++s) load(first_block + s);
#ifndef SCORES
    const float scale = a.scale * 1.4426950408889634f;
#endif

    for (int block = first_block; block < last_block; ++block) {
        const int index = (block - first_block) % STAGES;
        unsigned char *stage = shared + index * STAGE;
        wait_copies<2 * (STAGES - 2) + 1>();
        __syncthreads();
        load(block + STAGES - 1);
        const T *keys = (const T *)stage, *values = (const T *)(stage + STAGE / 2);
        if (BYTES) {
            widen_tile<T, WARPS>(wide, (const i8 *)stage);
            keys = wide;
            values = wide + TILE;
            __syncthreads();
        }
        float s[KT][4] = {};
#pragma unroll
        for (int k = 0; k < QT; ++k)
#pragma unroll
            for (int j = 0; j < KT / 2; ++j) {
                u32 b[4];
                load_matrices(
                    b, keys + (j * 16 + (lane & 7) + (lane >> 4 << 3)) * ROW + k * 16 + (lane >> 3 & 1) * 8);
                mma(s[2 * j], q[k], b[0], b[1], T());
                mma(s[2 * j + 1], q[k], b[2], b[3], T());
            }
        float top[2] = {m[0], m[1]};
#pragma unroll
        for (int j = 0; j < KT; ++j)
#pragma unroll
            for (int e = 0; e < 4; ++e) {
                const int h = e >> 1, column = j * 8 + (lane & 3) * 2 + (e & 1), key = block * BLOCK_KEYS + column;
                float v = s[j][e];
                if (BYTES) v *= scales[index * 2 * BLOCK_KEYS + column];
#ifdef SCORES
                v = score_of(a, v, query_head[h], position[h], key);
                const bool is_seen = sees(a, query_head[h], position[h], key);
#else
                v *= scale;
                const bool is_seen = true;
#endif
                // Keys from `end` on belong to other tasks or to nobody.
                s[j][e] = is_seen && key >= first[h] && key <= position[h] && key < end ? v : -INFINITY;
                top[h] = fmaxf(top[h], s[j][e]);
            }
        float shift[2], keep[2];
#pragma unroll
        for (int h = 0; h < 2; ++h) {
            top[h] = fmaxf(top[h], __shfl_xor_sync(0xffffffffu, top[h], 1));
            top[h] = fmaxf(top[h], __shfl_xor_sync(0xffffffffu, top[h], 2));
            shift[h] = top[h] == -INFINITY ? 0.f : top[h];
            keep[h] = exp2_fast(m[h] - shift[h]);
            m[h] = top[h];
            sum[h] *= keep[h];
        }
#pragma unroll
        for (int j = 0; j < KT; ++j)
#pragma unroll
            for (int e = 0; e < 4; ++e) {
                const float p = exp2_fast(s[j][e] - shift[e >> 1]);
                sum[e >> 1] += p;
                s[j][e] = BYTES ? p * scales[(index * 2 + 1) * BLOCK_KEYS + j * 8 + (lane & 3) * 2 + (e & 1)] : p;
            }
#pragma unroll
        for (int j = 0; j < NT; ++j)
#pragma unroll
            for (int e = 0; e < 4; ++e) out[j][e] *= keep[e >> 1];
        wait_copies<2 * (STAGES - 1)>();
        __syncthreads();
        if (BYTES) {
            widen_tile<T, WARPS>(wide + TILE, (const i8 *)(stage + STAGE / 2));
            __syncthreads();
        }
#pragma unroll
        for (int k = 0; k < BLOCK_KEYS / 16; ++k) {
            const u32 p[4] = {pack(s[2 * k][0], s[2 * k][1], T()), pack(s[2 * k][2], s[2 * k][3], T()),
                              pack(s[2 * k + 1][0], s[2 * k + 1][1], T()), pack(s[2 * k + 1][2], s[2 * k + 1][3], T())};
#pragma unroll
            for (int j = 0; j < NT / 2; ++j) {
                u32 b[4];
                load_matrices_transposed(b, values + (k * 16 + (lane & 15)) * ROW + j * 16 + (lane >> 4) * 8);
                mma(out[2 * j], p, b[0], b[1], T());
                mma(out[2 * j + 1], p, b[2], b[3], T());
            }
        }
        const bool ends = block + 1 == last_block || (block + 1) * BLOCK_KEYS % PART_KEYS == 0;
        if (!MERGES || !ends || t.state >= 0) continue;
        // The part is whole: its state joins those before.
#pragma unroll
        for (int h = 0; h < 2; ++h) {
            float lanes = sum[h];
            lanes += __shfl_xor_sync(0xffffffffu, lanes, 1);
            lanes += __shfl_xor_sync(0xffffffffu, lanes, 2);
            float mine, theirs;
            merge_factors(total_m[h], m[h], mine, theirs);
            total_sum[h] = merged(total_sum[h], mine, lanes, theirs);
#pragma unroll
            for (int j = 0; j < (MERGES ? NT : 1); ++j)
#pragma unroll
                for (int e = 0; e < 2; ++e) {
                    total[j][2 * h + e] = merged(total[j][2 * h + e], mine, out[j][2 * h + e], theirs);
                    out[j][2 * h + e] = 0;
                }
            m[h] = -INFINITY;
            sum[h] = 0;
        }
    }

#pragma unroll
    for (int h = 0; h < 2; ++h) {
        float lanes = sum[h];
        lanes += __shfl_xor_sync(0xffffffffu, lanes, 1);
        lanes += __shfl_xor_sync(0xffffffffu, lanes, 2);
        if (warp * 16 + (lane >> 2) + h * 8 >= t.queries) continue;
        if (t.state >= 0) {
            const i64 at = (t.state + (i64)row[h] * t.parts) * a.query_heads + query_head[h];
            float *state = a.states + at * (WIDTH + 2);
            if ((lane & 3) == 0) {
                state[0] = m[h];
                state[1] = lanes;
            }
#pragma unroll
            for (int j = 0; j < NT; ++j)
#pragma unroll
                for (int e = 0; e < 2; ++e) state[2 + j * 8 + (lane & 3) * 2 + e] = out[j][2 * h + e];
            continue;
        }
        const i64 r = t.first_row + row[h];
#pragma unroll
        for (int j = 0; j < NT; ++j)
#pragma unroll
            for (int e = 0; e < 2; ++e) {
                const int column = query_head[h] * WIDTH + j * 8 + (lane & 3) * 2 + e;
                const float v = total[MERGES ? j : 0][2 * h + e] / total_sum[h];
                a.y[r * a.y_stride + column] = v;
                store_packed(a.packed, a.packed_type, r * a.packed_stride + column, v);
            }
    }
}

// gridDim: key-value heads, whose keys lie side by side, and tasks. The backend's AttentionKernel computes the shared memory.
#define ATTEND(NAME, T, WARPS, BYTES, STAGES) \
    extern "C" __global__ void __launch_bounds__(WARPS * 32) attend_##NAME##_##WARPS(ATTENTION_PARAMETERS) { \
        const Attention a = ATTENTION_ARGUMENTS; \
        attend_tiles<T, WARPS, BYTES, STAGES>(a); \
    }
ATTEND(tiles_bf16, bf16, 1, false, 2)
ATTEND(tiles_bf16, bf16, 4, false, 2)
ATTEND(tiles_f16, f16, 1, false, 2)
ATTEND(tiles_f16, f16, 4, false, 2)
ATTEND(tiles_i8, f16, 1, true, 3)
ATTEND(tiles_i8, f16, 4, true, 3)
