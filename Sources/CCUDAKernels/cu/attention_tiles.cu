#include "attention.cuh"
// Attention with tensor cores, for heads whose keys and values are WIDTH columns wide, a multiple of 16 up to 256. One
// warp has 16 queries, one block of threads WARPS of them, which share the keys and values they load. Queries and
// probabilities are rounded to the element of the products; all else is float32. With SCORES defined, scores are also
// capped, sloped or seen in a pattern.

enum {
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
    // Not all at once, as their addresses would take the registers of sums.
#pragma unroll 2
    for (int i = 0; i < (ROWS * PIECES + 31) / 32; ++i) {
        const int index = i * 32 + lane, row = index / PIECES, piece = index % PIECES;
        const i64 slot = slots.of(row);
        const int at = warp * ROWS + row;
        if (ROWS * PIECES % 32 == 0 || row < ROWS) copy_async(
            tile + at * STRIDE + piece * 16, (const unsigned char *)numbers + (slot * heads + head) * BYTES + piece * 16,
            key + at < end);
    }
}

// Four bytes as numbers of 16 bits: 1024 + a byte has the byte as its last bits.
static __device__ __forceinline__ u32 widen_bytes(u32 bytes, u32 selector) {
    return subtract_halves(__byte_perm(bytes ^ 0x80808080u, 0x64646464u, selector), 0x64806480u);
}

// Which of a query's columns are the numbers `2 * half` and the next of step i of the first product, for this lane. Keys
// of bytes are read four columns at a time, so that a lane has those at hand; a sum does not mind.
template <bool BYTES> static __device__ __forceinline__ int query_column(int i, int half, int lane) {
    return i * 16 + (BYTES ? (lane & 3) * 4 + half * 2 : (lane & 3) * 2 + half * 8);
}
// The column of sum e of tile j. Two columns of bytes are transposed together; one goes to either of two tiles.
template <bool BYTES> static __device__ __forceinline__ int value_column(int j, int e, int lane) {
    return BYTES ? j / 2 * 16 + ((lane & 3) * 2 + e) * 2 + j % 2 : j * 8 + (lane & 3) * 2 + e;
}

// Scores of a block of keys: products of `QT` steps of 16 columns, for `KT` tiles of 8 keys.
template <class T, bool BYTES, int QT, int KT>
static __device__ __forceinline__ void multiply_keys(
    float (&s)[KT][4], const u32 (&q)[QT][4], const unsigned char *keys, int lane) {
#pragma unroll
    for (int k = 0; k < QT; ++k)
#pragma unroll
        for (int j = 0; j < KT / 2; ++j) {
            u32 b[4];
            if (BYTES) {
#pragma unroll
                for (int h = 0; h < 2; ++h) {
                    const u32 bytes =
                        *(const u32 *)(keys + (j * 16 + h * 8 + (lane >> 2)) * BYTE_ROW + k * 16 + (lane & 3) * 4);
                    b[2 * h] = widen_bytes(bytes, 0x4140);
                    b[2 * h + 1] = widen_bytes(bytes, 0x4342);
                }
            } else {
                load_matrices(
                    b, (const T *)keys + (j * 16 + (lane & 7) + (lane >> 4 << 3)) * ROW + k * 16 + (lane >> 3 & 1) * 8);
            }
            mma(s[2 * j], q[k], b[0], b[1], T());
            mma(s[2 * j + 1], q[k], b[2], b[3], T());
        }
}

// Adds 16 or 32 keys' values times their probabilities, from the k-th 16 or 32 on.
template <class T, bool BYTES, int NT>
static __device__ __forceinline__ void multiply_values(
    float (&out)[NT][4], const u32 (&p)[BYTES ? 2 : 1][4], const unsigned char *values, int k, int lane) {
#pragma unroll
    for (int j = 0; j < NT / 2; ++j) {
        u32 b[4];
        if (BYTES) {
            load_matrices_transposed(b, values + (k * 32 + lane) * BYTE_ROW + j * 16);
#pragma unroll
            for (int h = 0; h < 2; ++h) {
                // Either column of this lane's pair, of eight keys and eight more.
                mma(out[2 * j], p[BYTES ? h : 0], widen_bytes(b[2 * h], 0x4240), widen_bytes(b[2 * h + 1], 0x4240), T());
                mma(out[2 * j + 1], p[BYTES ? h : 0], widen_bytes(b[2 * h], 0x4341), widen_bytes(b[2 * h + 1], 0x4341), T());
            }
        } else {
            load_matrices_transposed(b, (const T *)values + (k * 16 + (lane & 15)) * ROW + j * 16 + (lane >> 4) * 8);
            mma(out[2 * j], p[0], b[0], b[1], T());
            mma(out[2 * j + 1], p[0], b[2], b[3], T());
        }
    }
}

// With one stage the next keys are copied over those that scores were made of, and the next values over those that were
// added: a warp has less under way, but more warps fit a multiprocessor, and each of them works little while it waits.
template <class T, int WARPS, bool BYTES, int STAGES>
static __device__ __forceinline__ void attend_tiles(const Attention &a) {
    // Probabilities times the scales of bytes would be too small for float16 where values are small.
    constexpr float UNIT = BYTES ? 64.f : 1.f;
    constexpr int HALF = BYTES ? BYTE_TILE : TILE * 2, QT = WIDTH / 16, NT = WIDTH / 8, KT = BLOCK_KEYS / 8;
    DYNAMIC_SHARED(shared);
    float *scales = (float *)(shared + STAGES * 2 * HALF);
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
            const float *from = a.q + (t.first_row + row[h]) * a.q_stride + (i64)query_head[h] * WIDTH +
                                query_column<BYTES>(i, e >> 1, lane);
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
                next_scale[1][i] = widen(a.value_scales[place]) * UNIT;
            }
        }
    };
    // A group of copies each; there is one even where there is no block. The scales of a block come with its keys.
    constexpr int ROW_BYTES = BYTES ? WIDTH : 2 * WIDTH, STRIDE = BYTES ? BYTE_ROW : 2 * ROW;
    auto load_keys = [&](int block) {
        if (block < last_block) {
            load_block<WARPS, ROW_BYTES, STRIDE>(
                shared + (block - first_block) % STAGES * 2 * HALF, a.keys, next, block * BLOCK_KEYS, end, a.heads, head,
                warp, lane);
            if (BYTES && warp == 0) {
                float *to = scales + (block & 1) * 2 * BLOCK_KEYS + lane;
#pragma unroll
                for (int i = 0; i < 2; ++i) {
                    to[i * 32] = next_scale[0][i];
                    to[BLOCK_KEYS + i * 32] = next_scale[1][i];
                }
            }
        }
        commit_copies();
    };
    auto load_values = [&](int block) {
        if (block < last_block)
            load_block<WARPS, ROW_BYTES, STRIDE>(
                shared + ((block - first_block) % STAGES * 2 + 1) * HALF, a.values, next, block * BLOCK_KEYS, end, a.heads,
                head, warp, lane);
        commit_copies();
        if (block + 1 < last_block) read_ahead(block + 1);
    };

    float m[2] = {-INFINITY, -INFINITY}, sum[2] = {}, out[NT][4] = {};
    float total_m[2] = {-INFINITY, -INFINITY}, total_sum[2] = {}, total[MERGES ? NT : 1][4] = {};
    read_ahead(first_block);
    load_keys(first_block);
    load_values(first_block);
#ifndef SCORES
    const float scale = a.scale * 1.4426950408889634f;
#endif

    for (int block = first_block; block < last_block; ++block) {
        const unsigned char *keys = shared + (block - first_block) % STAGES * 2 * HALF, *values = keys + HALF;
        const float *block_scales = scales + (block & 1) * 2 * BLOCK_KEYS;
        wait_copies<1>();
        __syncthreads();
        if (STAGES > 1) load_keys(block + 1);
        float s[KT][4] = {};
        multiply_keys<T, BYTES>(s, q, keys, lane);
        if (STAGES == 1) {
            __syncthreads();
            load_keys(block + 1);
        }
        float top[2] = {m[0], m[1]};
#pragma unroll
        for (int j = 0; j < KT; ++j)
#pragma unroll
            for (int e = 0; e < 4; ++e) {
                const int h = e >> 1, column = j * 8 + (lane & 3) * 2 + (e & 1), key = block * BLOCK_KEYS + column;
                float v = s[j][e];
                if (BYTES) v *= block_scales[column];
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
                s[j][e] = BYTES ? p * block_scales[BLOCK_KEYS + j * 8 + (lane & 3) * 2 + (e & 1)] : p;
            }
#pragma unroll
        for (int j = 0; j < NT; ++j)
#pragma unroll
            for (int e = 0; e < 4; ++e) out[j][e] *= keep[e >> 1];
        wait_copies<1>();
        __syncthreads();
        if (STAGES > 1) load_values(block + 1);
        constexpr int TOGETHER = BYTES ? 2 : 1;
#pragma unroll
        for (int k = 0; k < BLOCK_KEYS / 16; k += TOGETHER) {
            u32 p[TOGETHER][4];
#pragma unroll
            for (int h = 0; h < TOGETHER; ++h)
#pragma unroll
                for (int e = 0; e < 4; ++e)
                    p[h][e] = pack(s[2 * (k + h) + e / 2][e % 2 * 2], s[2 * (k + h) + e / 2][e % 2 * 2 + 1], T());
            multiply_values<T, BYTES>(out, p, values, k / TOGETHER, lane);
        }
        if (STAGES == 1) {
            __syncthreads();
            load_values(block + 1);
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
                    total[j][2 * h + e] = merged(total[j][2 * h + e], mine, out[j][2 * h + e] / UNIT, theirs);
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
                for (int e = 0; e < 2; ++e) 
                    state[2 + value_column<BYTES>(j, e, lane)] = out[j][2 * h + e] / UNIT;
            continue;
        }
        const i64 r = t.first_row + row[h];
#pragma unroll
        for (int j = 0; j < NT; ++j)
#pragma unroll
            for (int e = 0; e < 2; ++e) {
                const int column = query_head[h] * WIDTH + value_column<BYTES>(j, e, lane);
                const float v = total[MERGES ? j : 0][2 * h + e] / total_sum[h];
                a.y[r * a.y_stride + column] = v;
                store_packed(a.packed, a.packed_type, r * a.packed_stride + column, v);
            }
    }
}

// gridDim: key-value heads, whose keys lie side by side, and tasks. The backend's TileKernel computes the shared memory.
#define ATTEND(NAME, T, WARPS, BYTES, STAGES) \
    extern "C" __global__ void __launch_bounds__(WARPS * 32) attend_##NAME##_##WARPS(ATTENTION_PARAMETERS) { \
        const Attention a = ATTENTION_ARGUMENTS; \
        attend_tiles<T, WARPS, BYTES, STAGES>(a); \
    }
ATTEND(tiles_bf16, bf16, 1, false, 1)
ATTEND(tiles_bf16, bf16, 4, false, 2)
ATTEND(tiles_f16, f16, 1, false, 1)
ATTEND(tiles_f16, f16, 4, false, 2)
// Wide rows of bytes leave no registers for copies between the products.
ATTEND(tiles_i8, f16, 1, true, (WIDTH > 128 ? 2 : 1))
ATTEND(tiles_i8, f16, 4, true, 2)
