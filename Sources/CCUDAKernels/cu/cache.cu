#include "common.cuh"
// Keys and values on their way into the cache of one layer.

// Rotates the heads of q and k in place, spreads them over their columns where the cache is int8, and stores k and v in
// the rows' slots. One warp for each head of q, k and v of a row, which lie `stride` apart from row to row.
struct Store {
    float *q, *k;
    const float *v;
    i64 q_stride, k_stride, v_stride;
    const i32 *slots;
    void *keys, *values;
    u16 *key_scales, *value_scales;
    const float *cosines, *sines;
    i64 table_stride;
    int query_heads, heads, key_width, value_width;
    int first_column, pairs, neighbours, spread;
};

// Hadamard's matrix on groups of columns, as many as the largest power of two that divides `width` (at most 256).
static __device__ void spread_head(float *x, int width, int lane) {
    int group = 1;
    while (group < 256 && width % (2 * group) == 0) group *= 2;
    for (int step = 1; step < group; step *= 2) {
        for (int i = lane; i < width / 2; i += 32) {
            const int a = i / step * 2 * step + i % step, b = a + step;
            const float first = x[a], second = x[b];
            x[a] = first + second;
            x[b] = first - second;
        }
        __syncwarp();
    }
    const float scale = 1.f / sqrtf((float)group);
    for (int c = lane; c < width; c += 32) x[c] *= scale;
    __syncwarp();
}

static __device__ void rotate_head(
    float *x, const float *cosines, const float *sines, int first, int pairs, int neighbours, int lane) {
    for (int p = lane; p < pairs; p += 32) {
        const int a = first + (neighbours ? 2 * p : p), b = neighbours ? a + 1 : a + pairs;
        const float u = x[a], v = x[b];
        x[a] = u * cosines[p] - v * sines[p];
        x[b] = v * cosines[p] + u * sines[p];
    }
    __syncwarp();
}

static __device__ __forceinline__ void store_numbers(const float *x, int width, float *to, u16 *, int lane) {
    for (int c = lane; c < width; c += 32) to[c] = x[c];
}
template <class T> static __device__ __forceinline__ void store_numbers(const float *x, int width, T *to, u16 *, int lane) {
    for (int c = lane; c < width; c += 32) narrow(x[c], to[c]);
}
// The scale is the largest magnitude over 127, in bfloat16.
static __device__ __forceinline__ void store_numbers(const float *x, int width, i8 *to, u16 *scale, int lane) {
    float largest = 0;
    bool odd = false;
    for (int c = lane; c < width; c += 32) {
        largest = fmaxf(largest, fabsf(x[c]));
        odd |= !(fabsf(x[c]) < INFINITY);
    }
    for (int o = 16; o; o >>= 1) {
        largest = fmaxf(largest, __shfl_xor_sync(0xffffffffu, largest, o));
        odd |= __shfl_xor_sync(0xffffffffu, (int)odd, o) != 0;
    }
    bf16 rounded;
    narrow(odd ? NAN : largest / 127.f < 1e-30f ? 0.f : largest / 127.f, rounded);
    const float inverse = widen(rounded) > 0 ? 1.f / widen(rounded) : 0.f;
    for (int c = lane; c < width; c += 32) {
        const float v = odd ? 0.f : rintf(x[c] * inverse);
        to[c] = (i8)(int)fminf(fmaxf(v, -127.f), 127.f);
    }
    if (lane == 0) *scale = rounded.bits;
}

template <class T> static __device__ void rotate_store(const Store &s) {
    const i64 row = blockIdx.x;
    const int lane = threadIdx.x & 31, index = blockIdx.y * (blockDim.x >> 5) + (threadIdx.x >> 5);
    if (index >= s.query_heads + 2 * s.heads) return;
    const bool is_query = index < s.query_heads, is_value = index >= s.query_heads + s.heads;
    const int head = is_query ? index : is_value ? index - s.query_heads - s.heads : index - s.query_heads;
    const i64 slot = (i64)s.slots[row] * s.heads + head;
    if (is_value) {
        // Keys may hold them.
        if (s.values == s.keys) return;
        store_numbers(
            s.v + row * s.v_stride + head * s.value_width, s.value_width, (T *)s.values + slot * s.value_width,
            s.value_scales + slot, lane);
        return;
    }
    float *x = (is_query ? s.q + row * s.q_stride : s.k + row * s.k_stride) + head * s.key_width;
    if (s.pairs)
        rotate_head(
            x, s.cosines + row * s.table_stride, s.sines + row * s.table_stride, s.first_column, s.pairs, s.neighbours,
            lane);
    if (s.spread) spread_head(x, s.key_width, lane);
    if (!is_query)
        store_numbers(x, s.key_width, (T *)s.keys + slot * s.key_width, s.key_scales + slot, lane);
}

#define ROTATE_STORE(T) \
    extern "C" __global__ void rotate_store_##T( \
        float *q, i64 q_stride, float *k, i64 k_stride, const float *v, i64 v_stride, const i32 *slots, void *keys, \
        void *values, u16 *key_scales, u16 *value_scales, const float *cosines, const float *sines, i64 table_stride, \
        int query_heads, int heads, int key_width, int value_width, int first_column, int pairs, int neighbours, \
        int spread) { \
        const Store s = {q, k, v, q_stride, k_stride, v_stride, slots, keys, values, key_scales, value_scales, cosines, \
                         sines, table_stride, query_heads, heads, key_width, value_width, first_column, pairs, \
                         neighbours, spread}; \
        rotate_store<T>(s); \
    }
ROTATE_STORE(float)
ROTATE_STORE(bf16)
ROTATE_STORE(f16)
ROTATE_STORE(i8)

// Rotates the heads of x in place, one warp for each.
extern "C" __global__ void rotate(
    float *x, i64 x_stride, int heads, int width, const float *cosines, const float *sines, i64 table_stride,
    int first_column, int pairs, int neighbours) {
    const i64 row = blockIdx.x;
    const int head = blockIdx.y * (blockDim.x >> 5) + (threadIdx.x >> 5);
    if (head < heads)
        rotate_head(
            x + row * x_stride + head * width, cosines + row * table_stride, sines + row * table_stride, first_column,
            pairs, neighbours, threadIdx.x & 31);
}
