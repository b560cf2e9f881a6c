#pragma once
#include "common.cuh"
// A draw among the likeliest columns of a row, as top-k, top-p and min-p cut them off, without sorting the row; one block
// of 1024 threads. Likelihoods are whole numbers of 2^-40 of the largest, so that a sum is the same in every order.

// Larger numbers have larger keys, and 0 is -0. No number has key 0, which is left for what is none.
static __device__ __forceinline__ u32 sort_key(float x) {
    if (x != x) return 0;
    const u32 bits = __float_as_uint(x + 0.f);
    return bits >> 31 ? ~bits : bits | 0x80000000u;
}
static __device__ __forceinline__ float number_of_key(u32 key) {
    return __uint_as_float(key >> 31 ? key & 0x7fffffffu : ~key);
}

// The exclusive sum over the threads before this one, in order of threads; `scratch` holds 32 numbers.
template <class T> static __device__ T sum_before(T v, T *scratch) {
    const int lane = threadIdx.x & 31, warp = threadIdx.x >> 5;
    T sum = v;
    for (int o = 1; o < 32; o <<= 1) {
        const T other = __shfl_sync(0xffffffffu, sum, lane >= o ? lane - o : lane);
        if (lane >= o) sum += other;
    }
    if (lane == 31) scratch[warp] = sum;
    __syncthreads();
    T before = 0;
    for (int w = 0; w < warp; ++w) before += scratch[w];
    __syncthreads();
    // Not sum - v, which rounding may make other than the sum of the thread before.
    const T inclusive = __shfl_sync(0xffffffffu, sum, lane ? lane - 1 : 0);
    return lane ? before + inclusive : before;
}

struct LogitRow {
    const float *x;
    int columns;
    float top, scale;

    // How far below the largest, as exponents are; no less for smaller numbers.
    __device__ __forceinline__ float distance(float v) const { return (top - v) * scale; }
    // None for what is no number.
    __device__ __forceinline__ u64 likelihood(float v) const {
        const float e = expf(-distance(v));
        return e > 0 ? (u64)(e * 0x1p40f) : 0;
    }
    // Distances in eighths: exponents of logits share their first bits, so that keys alone would meet in few places.
    __device__ __forceinline__ int bin(float v) const {
        const float d = distance(v) * 8.f;
        return d < 255.f ? (int)d : 255;
    }
};

// Adds to a table in shared memory, neighbours that go to one place together.
struct Tally {
    u64 *table;
    int place;
    u64 sum;

    __device__ __forceinline__ void add(int at, u64 v) {
        if (at != place) {
            flush();
            place = at;
        }
        sum += v;
    }
    __device__ __forceinline__ void flush() {
        if (sum) atomicAdd(table + place, sum);
        sum = 0;
    }
};

// What a search through a row keeps in shared memory.
struct Search {
    u64 table[256], before, scratch[33];
    int place, counts[32], column;
};

// Where the sum over the table, from its start or from its end, passes `goal`: its place, or -1, and the sum before it.
static __device__ __forceinline__ void find_place(Search &s, bool from_end, u64 goal) {
    if (threadIdx.x < 32) {
        const int lane = threadIdx.x;
        u64 mine = 0;
        for (int i = lane * 8; i < lane * 8 + 8; ++i) mine += s.table[from_end ? 255 - i : i];
        u64 upto = mine;
        for (int o = 1; o < 32; o <<= 1) {
            const u64 other = __shfl_sync(0xffffffffu, upto, lane >= o ? lane - o : lane);
            if (lane >= o) upto += other;
        }
        if (lane == 31 && upto <= goal) s.place = -1;
        u64 before = upto - mine;
        if (before <= goal && goal < upto) {
            int i = lane * 8;
            for (; before + s.table[from_end ? 255 - i : i] <= goal; ++i) before += s.table[from_end ? 255 - i : i];
            s.place = from_end ? 255 - i : i;
            s.before = before;
        }
    }
    __syncthreads();
}

// The column, of all sorted from the largest, where the sum of weights passes a goal: its key, 0 where there is none, what
// those with larger keys weigh, and the weight of each with this key.
struct Crossing { u32 key; u64 before, each; };

template <class Weight>
static __device__ __forceinline__ Crossing cross(const LogitRow &row, Search &s, u64 goal, Weight weight) {
    int bin = 0;
    u32 prefix = 0;
    u64 before = 0;
    for (int shift = 32; shift >= 0; shift -= 8) {
        if (threadIdx.x < 256) s.table[threadIdx.x] = 0;
        __syncthreads();
        Tally tally = {s.table, 0, 0};
        for (int c = threadIdx.x; c < row.columns; c += 1024) {
            const float v = row.x[c];
            if (shift == 32) {
                tally.add(row.bin(v), weight(v));
            } else if (row.bin(v) == bin) {
                const u32 key = sort_key(v);
                if (shift == 24 || key >> (shift + 8) == prefix >> (shift + 8)) tally.add(key >> shift & 255, weight(v));
            }
        }
        tally.flush();
        __syncthreads();
        find_place(s, shift < 32, goal - before);
        const int place = s.place;
        if (place < 0) return {0, 0, 0};
        before += s.before;
        if (shift == 32) bin = place;
        else prefix |= (u32)place << shift;
        __syncthreads();
    }
    return {prefix, before, weight(number_of_key(prefix))};
}

// What is drawn from: at most `count` columns, while those before have no more than `mass` of the whole, and none farther
// from the largest than `farthest`. The largest always belongs to it.
struct Nucleus {
    int count;
    float farthest;
    double mass;
};

// Draws where the sum passes `point` of the nucleus, columns sorted from the largest, the first of equals first.
static __device__ __forceinline__ int draw(
    const LogitRow &row, const Nucleus &nucleus, double point, int top_column, Search &s) {
    auto likelihood = [&](float v) { return row.likelihood(v); };
    u64 all = 0, near = 0;
    for (int c = threadIdx.x; c < row.columns; c += 1024) {
        const u64 q = row.likelihood(row.x[c]);
        all += q;
        if (row.distance(row.x[c]) <= nucleus.farthest) near += q;
    }
    all = block_sum(all, s.scratch);
    near = block_sum(near, s.scratch);
    if (all == 0) return top_column;
    u64 kept = max(near, row.likelihood(row.top));
    if (nucleus.mass < 1) {
        const u64 goal = (u64)(nucleus.mass * (double)all);
        const Crossing end = cross(row, s, goal, likelihood);
        if (end.key) kept = min(kept, end.before + ((goal - end.before) / end.each + 1) * end.each);
    }
    if (nucleus.count < row.columns) {
        const Crossing end = cross(row, s, (u64)(nucleus.count - 1), [](float v) { return (u64)(v == v); });
        u64 first = 0;
        for (int c = threadIdx.x; c < row.columns; c += 1024)
            if (sort_key(row.x[c]) > end.key) first += row.likelihood(row.x[c]);
        first = block_sum(first, s.scratch);
        if (end.key) kept = min(kept, first + ((u64)nucleus.count - end.before) * row.likelihood(number_of_key(end.key)));
    }
    const u64 goal = min((u64)(point * (double)kept), kept - 1);
    const Crossing drawn = cross(row, s, goal, likelihood);
    // Which of those with its key, in the order of columns.
    const int rank = (int)((goal - drawn.before) / drawn.each);
    const int each = (row.columns + 1023) / 1024, from = min((int)threadIdx.x * each, row.columns);
    const int to = min(from + each, row.columns);
    int equal = 0;
    for (int c = from; c < to; ++c) equal += sort_key(row.x[c]) == drawn.key;
    int before = sum_before(equal, s.counts);
    for (int c = from; c < to; ++c)
        if (sort_key(row.x[c]) == drawn.key && before++ == rank) s.column = c;
    __syncthreads();
    return s.column;
}
