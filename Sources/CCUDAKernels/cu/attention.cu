#include "attention.cuh"
// Attention in plain steps, for every width and element: a warp for each query. Products are float32, in order.

template <class T> static __device__ void attend(const Attention &a) {
    const Task t = a.tasks[blockIdx.x];
    const int lane = threadIdx.x & 31, query = blockIdx.y * (blockDim.x >> 5) + (threadIdx.x >> 5), head = blockIdx.z;
    if (query >= t.queries) return;
    const int group = a.query_heads / a.heads, index = t.first_query + query;
    const int row = index / group, query_head = head * group + index % group, position = t.first_position + row * a.row_step;
    const float *q = a.q + (t.first_row + row) * a.q_stride + (i64)query_head * a.key_width;
    const T *keys = (const T *)a.keys, *values = (const T *)a.values;
    const i32 *slots = a.slots + t.slots;
    const int first = first_key(position, a.window);
    constexpr int COLUMNS = 16;

    float m = -INFINITY, sum = 0, out[COLUMNS] = {};
    for (int part = t.first_part; part < t.last_part; ++part) {
        float pm = -INFINITY, ps = 0, po[COLUMNS] = {};
        const int end = min((part + 1) * PART_KEYS, position + 1);
        for (int block = part * PART_KEYS; block < end; block += 32) {
            const int key = block + lane;
            float score = -INFINITY;
            if (key >= first && key < end && sees(a, query_head, position, key)) {
                const i64 place = (i64)slots[key] * a.heads + head;
                float s = 0;
                for (int c = 0; c < a.key_width; ++c) s = fmaf(q[c], widen(keys[place * a.key_width + c]), s);
                if (a.key_scales) s *= widen(a.key_scales[place]);
                score = score_of(a, s, query_head, position, key);
            }
            float top = fmaxf(pm, score);
            for (int o = 16; o; o >>= 1) top = fmaxf(top, __shfl_xor_sync(0xffffffffu, top, o));
            const float shift = top == -INFINITY ? 0.f : top, keep = exp2f(pm - shift), p = exp2f(score - shift);
            float total = p;
            for (int o = 16; o; o >>= 1) total += __shfl_xor_sync(0xffffffffu, total, o);
            pm = top;
            ps = ps * keep + total;
            for (int i = 0; i < COLUMNS; ++i) po[i] *= keep;
            for (int j = 0; j < 32; ++j) {
                const float pj = __shfl_sync(0xffffffffu, p, j);
                if (block + j < first || block + j >= end) continue;
                const i64 place = (i64)slots[block + j] * a.heads + head;
                const float factor = a.value_scales ? pj * widen(a.value_scales[place]) : pj;
                for (int i = 0; i < COLUMNS && lane + 32 * i < a.value_width; ++i)
                    po[i] = fmaf(factor, widen(values[place * a.value_stride + lane + 32 * i]), po[i]);
            }
        }
        if (t.state >= 0) {
            const i64 at = (t.state + (i64)row * t.parts) * a.query_heads + query_head;
            float *state = a.states + at * (a.value_width + 2);
            if (lane == 0) {
                state[0] = pm;
                state[1] = ps;
            }
            for (int i = 0; i < COLUMNS && lane + 32 * i < a.value_width; ++i) state[2 + lane + 32 * i] = po[i];
            continue;
        }
        float mine, theirs;
        merge_factors(m, pm, mine, theirs);
        sum = merged(sum, mine, ps, theirs);
        for (int i = 0; i < COLUMNS; ++i) out[i] = merged(out[i], mine, po[i], theirs);
    }
    if (t.state >= 0) return;
    const i64 r = t.first_row + row;
    for (int i = 0; i < COLUMNS && lane + 32 * i < a.value_width; ++i) {
        const int column = query_head * a.value_width + lane + 32 * i;
        const float v = out[i] / sum;
        a.y[r * a.y_stride + column] = v;
        store_packed(a.packed, a.packed_type, r * a.packed_stride + column, v);
    }
}

// gridDim: tasks, groups of queries, key-value heads.
#define ATTEND(T, NAME) \
    extern "C" __global__ void __launch_bounds__(128) attend_##NAME(ATTENTION_PARAMETERS) { \
        const Attention a = ATTENTION_ARGUMENTS; \
        attend<T>(a); \
    }
ATTEND(float, float)
ATTEND(bf16, bf16)
ATTEND(f16, f16)
ATTEND(i8, i8)

// Merges the states of the parts of a row, one block for each row and query head. `joints` are triples: the row, its
// first state, how many.
extern "C" __global__ void __launch_bounds__(128) merge_states(
    const i32 *joints, const float *states, float *y, i64 y_stride, void *packed, i64 packed_stride, int packed_type,
    int query_heads, int width) {
    const i32 *joint = joints + 3 * blockIdx.x;
    const i64 row = joint[0], first = joint[1];
    const int head = blockIdx.y;
    for (int c = threadIdx.x; c < width; c += blockDim.x) {
        float m = -INFINITY, sum = 0, out = 0;
        for (int part = 0; part < joint[2]; ++part) {
            const float *state = states + ((first + part) * query_heads + head) * (width + 2);
            float mine, theirs;
            merge_factors(m, state[0], mine, theirs);
            sum = merged(sum, mine, state[1], theirs);
            out = merged(out, mine, state[2 + c], theirs);
        }
        const float v = out / sum;
        y[row * y_stride + head * width + c] = v;
        store_packed(packed, packed_type, row * packed_stride + head * width + c, v);
    }
}
