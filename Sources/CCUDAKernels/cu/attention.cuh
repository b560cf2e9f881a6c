#include "common.cuh"
// Attention of queries over the cached keys and values of their sequence: y = softmax(scale q kᵀ) v.
//
// Positions are taken in blocks of 64 with a running maximum (online softmax, arXiv 1805.02867). Every 256 positions,
// counted from the sequence's start, are a part with a state of its own; the states are merged in order. So it does not
// show in a result which block of threads computes which parts, or which queries it computes beside. Exponentials are
// powers of two: scores come multiplied by log2(e).

enum { BLOCK_KEYS = 64, PART_KEYS = 256 };

// Some consecutive queries of one sequence and some parts of its context. Queries are pairs of a row and a query head of
// one key-value head, row by row.
struct Task {
    i32 first_row, first_query, queries, first_position;
    // Where the sequence's slots begin.
    i32 slots;
    i32 first_part, last_part;
    // Where the state of the first row goes, when other tasks compute the other parts; else -1. States are counted in
    // those of all query heads of a row; from row to row there are `parts` of them.
    i32 state, parts;
};

struct Attention {
    const float *q;
    i64 q_stride;
    const void *keys, *values;
    const bf16 *key_scales, *value_scales;
    const i32 *slots;
    const Task *tasks;
    float *y;
    i64 y_stride;
    void *packed;
    i64 packed_stride;
    // For each query head of a row and part: the running maximum, the sum, the sums of values.
    float *states;
    int packed_type, query_heads, heads, key_width, value_width, window;
    float scale;
    // Scaled scores are capped so where it is positive.
    float softcap;
    // What a score loses for each position between key and query, one for each query head; or null.
    const float *slopes;
    // A pattern of blocks (see AttentionShape.BlockPattern), where they have positions.
    int block_positions, near_blocks, block_stride, head_step, head_shift;
    // From the position of a row to that of the next: 1, or 0 when all stand at the sequence's last and see it all.
    int row_step;
    // From one head's values in the cache to the next's: value_width, or key_width where they are the first columns of keys.
    int value_stride;
};

#define ATTENTION_PARAMETERS \
    const float *q, i64 q_stride, const void *keys, const void *values, const bf16 *key_scales, \
        const bf16 *value_scales, const i32 *slots, const Task *tasks, float *y, i64 y_stride, void *packed, \
        i64 packed_stride, float *states, int packed_type, int query_heads, int heads, int key_width, int value_width, \
        int window, float scale, float softcap, const float *slopes, int block_positions, int near_blocks, \
        int block_stride, int head_step, int head_shift, int row_step, int value_stride
#define ATTENTION_ARGUMENTS \
    { q, q_stride, keys, values, key_scales, value_scales, slots, tasks, y, y_stride, packed, packed_stride, states, \
      packed_type, query_heads, heads, key_width, value_width, window, scale, softcap, slopes, block_positions, \
      near_blocks, block_stride, head_step, head_shift, row_step, value_stride }

// The first position that a query sees.
static __device__ __forceinline__ int first_key(int position, int window) {
    return window > position ? 0 : position - window + 1;
}

// A product of a query and a key as a score, in powers of two. `head` is the query's.
static __device__ __forceinline__ float score_of(const Attention &a, float product, int head, int position, int key) {
    float score = product * a.scale;
    if (a.softcap > 0) score = a.softcap * tanhf(score / a.softcap);
    if (a.slopes) score += a.slopes[head] * (float)(key - position);
    return score * 1.4426950408889634f;
}
// Whether the pattern lets a query see a key.
static __device__ __forceinline__ bool sees(const Attention &a, int head, int position, int key) {
    if (!a.block_positions) return true;
    const int block = key / a.block_positions;
    return position / a.block_positions - block < a.near_blocks || (block + 1 + a.head_shift + head * a.head_step) % a.block_stride == 0;
}

// Factors of a state with maximum `m` that is merged with one of maximum `other`, and of the other.
static __device__ __forceinline__ void merge_factors(float &m, float other, float &mine, float &theirs) {
    const float top = fmaxf(m, other), shift = top == -INFINITY ? 0.f : top;
    mine = exp2_fast(m - shift);
    theirs = exp2_fast(other - shift);
    m = top;
}
static __device__ __forceinline__ float merged(float a, float mine, float b, float theirs) {
    return __fmaf_rn(b, theirs, __fmul_rn(a, mine));
}
