#include "nucleus.cuh"
// Questions about rows of logits: one block of 1024 threads for each.

struct Question {
    i32 row;
    // How many of the largest are wanted; at most 1024 and the number of columns.
    i32 wanted;
    // The column whose logit is wanted beside; -1 for none.
    i32 column;
    // 1 for a draw from all columns, in their order; 2 for one from a nucleus.
    i32 draws;
    float scale;
    // Of the nucleus.
    i32 count;
    // Where the running sum of exponentials shall pass, as a part of it.
    double point;
    // Of the nucleus.
    double mass;
    float farthest;
    i32 unused;
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

// A block of 256 threads for each row that is edited; `starts` has its first edit and that of the next. Edits of a column
// are one thread's, which makes them in their order.
extern "C" __global__ void __launch_bounds__(256) edit_logits(
    float *logits, i64 stride, const Edit *edits, const i32 *starts) {
    __shared__ Edit some[256];
    const int first = starts[blockIdx.x], last = starts[blockIdx.x + 1];
    for (int base = first; base < last; base += 256) {
        const int count = min(256, last - base);
        if ((int)threadIdx.x < count) some[threadIdx.x] = edits[base + threadIdx.x];
        __syncthreads();
        for (int i = 0; i < count; ++i) {
            if ((some[i].column & 255) != (int)threadIdx.x) continue;
            const Edit e = some[i];
            float *x = logits + e.row * stride + e.column;
            switch (e.kind) {
            case 0: *x = *x + e.a; break;
            case 1: *x = __fsub_rn(*x > 0 ? *x / e.a : *x * e.a, e.b); break;
            case 2: *x = __fadd_rn(*x, __fmul_rn(fabsf(*x), e.a)); break;
            default: *x = -INFINITY;
            }
        }
        __syncthreads();
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

extern "C" __global__ void __launch_bounds__(1024) answer_questions(
    const float *logits, i64 stride, int columns, const Question *questions, Answer *answers, float *largest,
    i32 *largest_columns, int most) {
    __shared__ double scratch[33];
    __shared__ u32 histogram[256], shared_key[33];
    __shared__ i32 shared_column[33], counts[33], drawn, found, threshold_need;
    __shared__ u32 threshold;
    __shared__ float values[1024];
    __shared__ i32 places[1024];
    __shared__ Search search;
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

    if (question.draws == 2) {
        const LogitRow row = {x, columns, top, question.scale};
        const Nucleus nucleus = {question.count, question.farthest, question.mass};
        const int column = draw(row, nucleus, question.point, top_column, search);
        if (tid == 0) drawn = column;
    } else if (question.draws) {
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
