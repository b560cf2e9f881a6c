#include "common.cuh"
// Questions about rows of logits: one block of 1024 threads for each.

struct Question {
    i32 row;
    // How many of the largest are wanted; at most 1024 and the number of columns.
    i32 wanted;
    // The column whose logit is wanted beside; -1 for none.
    i32 column;
    i32 draws;
    float scale;
    i32 unused;
    // Where the running sum of exponentials shall pass, as a part of it.
    double point;
};

struct Answer {
    float top;
    i32 top_column;
    float column_value;
    i32 drawn;
    float drawn_value;
    // How many of the largest there were.
    i32 found;
    // Of exp((x - top) * scale).
    double sum;
};

struct Edit {
    i32 row, column, kind;
    float a, b;
};

// One thread for each row that is edited; `starts` has its first edit and that of the next.
extern "C" __global__ void edit_logits(float *logits, i64 stride, const Edit *edits, const i32 *starts, int rows) {
    const int r = blockIdx.x * blockDim.x + threadIdx.x;
    if (r >= rows) return;
    for (int i = starts[r]; i < starts[r + 1]; ++i) {
        const Edit e = edits[i];
        float *x = logits + e.row * stride + e.column;
        switch (e.kind) {
        case 0: *x = *x + e.a; break;
        case 1: *x = __fsub_rn(*x > 0 ? *x / e.a : *x * e.a, e.b); break;
        case 2: *x = __fadd_rn(*x, __fmul_rn(fabsf(*x), e.a)); break;
        default: *x = -INFINITY;
        }
    }
}

// Makes the columns impossible whose bit is clear; one block row for each row that has a mask of `words` words.
extern "C" __global__ void mask_logits(float *logits, i64 stride, const i32 *rows, const u32 *masks, int words,
                                       int columns) {
    const int column = blockIdx.x * blockDim.x + threadIdx.x;
    if (column >= columns) return;
    const int word = column / 32;
    const u32 bits = word < words ? masks[(i64)blockIdx.y * words + word] : 0;
    if (!(bits >> (column % 32) & 1)) logits[rows[blockIdx.y] * stride + column] = -INFINITY;
}

// Larger numbers have larger keys, and 0 is -0. No number has key 0, which is left for what is none.
static __device__ __forceinline__ u32 sort_key(float x) {
    if (x != x) return 0;
    const u32 bits = __float_as_uint(x + 0.f);
    return bits >> 31 ? ~bits : bits | 0x80000000u;
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

extern "C" __global__ void __launch_bounds__(1024) answer_questions(
    const float *logits, i64 stride, int columns, const Question *questions, Answer *answers, float *largest,
    i32 *largest_columns, int most) {
    __shared__ double scratch[33];
    __shared__ u32 histogram[256], shared_key[33];
    __shared__ i32 shared_column[33], counts[33], drawn, found, threshold_need;
    __shared__ u32 threshold;
    __shared__ float values[1024];
    __shared__ i32 places[1024];
    const Question question = questions[blockIdx.x];
    const float *x = logits + question.row * stride;
    const int tid = threadIdx.x, lane = tid & 31, warp = tid >> 5;
    // Each thread's columns where their order matters.
    const int each = (columns + 1023) / 1024, from = min(tid * each, columns), to = min(from + each, columns);

    // The largest, the first of equals.
    u32 key = 0;
    int column = 0x7fffffff;
    for (int c = tid; c < columns; c += 1024) {
        const u32 k = sort_key(x[c]);
        if (k > key) { key = k; column = c; }
    }
    for (int o = 16; o; o >>= 1) {
        const u32 k = __shfl_xor_sync(0xffffffffu, key, o);
        const int c = __shfl_xor_sync(0xffffffffu, column, o);
        if (k > key || (k == key && c < column)) { key = k; column = c; }
    }
    if (lane == 0) { shared_key[warp] = key; shared_column[warp] = column; }
    __syncthreads();
    if (tid == 0) {
        for (int w = 1; w < 32; ++w)
            if (shared_key[w] > key || (shared_key[w] == key && shared_column[w] < column)) {
                key = shared_key[w];
                column = shared_column[w];
            }
        shared_key[32] = key;
        shared_column[32] = key ? column : 0;
        drawn = 0x7fffffff;
        found = 0;
    }
    __syncthreads();
    const int top_column = shared_column[32];
    const float top = shared_key[32] ? x[top_column] : -INFINITY;

    // Sums of threads in float32, all together in float64.
    float mine = 0;
    for (int c = from; c < to; ++c) mine += expf((x[c] - top) * question.scale);
    const double sum = block_sum((double)mine, scratch);

    if (question.draws) {
        const double goal = question.point * sum, before = sum_before((double)mine, scratch);
        double running = before;
        for (int c = from; c < to; ++c) {
            running += (double)expf((x[c] - top) * question.scale);
            if (running > goal) {
                atomicMin(&drawn, c);
                break;
            }
        }
        __syncthreads();
        if (drawn == 0x7fffffff) {
            // Rounding left the whole sum short of the point: the last that can be drawn.
            int last = -1;
            for (int c = from; c < to; ++c)
                if (expf((x[c] - top) * question.scale) > 0) last = c;
            __syncthreads();
            if (tid == 0) drawn = -1;
            __syncthreads();
            if (last >= 0) atomicMax(&drawn, last);
            __syncthreads();
            if (tid == 0 && drawn < 0) drawn = top_column;
            __syncthreads();
        }
    }

    if (question.wanted > 0) {
        // The key of the last wanted, eight bits at a time.
        u32 prefix = 0;
        int need = question.wanted;
        for (int shift = 24; shift >= 0; shift -= 8) {
            if (tid < 256) histogram[tid] = 0;
            __syncthreads();
            for (int c = tid; c < columns; c += 1024) {
                const u32 k = sort_key(x[c]);
                if (shift == 24 || k >> (shift + 8) == prefix >> (shift + 8)) atomicAdd(&histogram[k >> shift & 255], 1u);
            }
            __syncthreads();
            if (tid == 0) {
                int left = need, digit = 255;
                for (; digit > 0 && (int)histogram[digit] < left; --digit) left -= histogram[digit];
                threshold = prefix | (u32)digit << shift;
                threshold_need = left;
            }
            __syncthreads();
            prefix = threshold;
            need = threshold_need;
            __syncthreads();
        }
        // All above it, and the first of those that equal it; but none that is no number.
        int above = 0, equal = 0;
        for (int c = from; c < to; ++c) {
            const u32 k = sort_key(x[c]);
            above += k > prefix;
            equal += k == prefix;
        }
        if (prefix == 0) equal = 0;
        int above_before = sum_before(above, counts), equal_before = sum_before(equal, counts);
        const int base = question.wanted - need;
        for (int c = from; c < to; ++c) {
            const u32 k = sort_key(x[c]);
            int place = -1;
            if (k > prefix) place = above_before++;
            else if (k == prefix && prefix && equal_before < need) place = base + equal_before++;
            if (place >= 0) {
                values[place] = x[c];
                places[place] = c;
                atomicAdd(&found, 1);
            }
        }
        __syncthreads();
        if (tid < found) {
            const float v = values[tid];
            const int c = places[tid];
            int rank = 0;
            for (int i = 0; i < found; ++i) rank += values[i] > v || (values[i] == v && places[i] < c);
            largest[(i64)blockIdx.x * most + rank] = v;
            largest_columns[(i64)blockIdx.x * most + rank] = c;
        }
    }
    if (tid == 0) {
        Answer a;
        a.top = top;
        a.top_column = top_column;
        a.column_value = question.column >= 0 ? x[question.column] : 0.f;
        a.drawn = drawn;
        a.drawn_value = question.draws ? x[drawn] : 0.f;
        a.found = found;
        a.sum = sum;
        answers[blockIdx.x] = a;
    }
}
