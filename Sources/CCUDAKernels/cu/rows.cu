#include "common.cuh"
// Operations on rows: one block for each row, whose size depends on the columns alone.
// `packed` is a copy of the result for the next product, `packed_stride` columns wide, zeros at the end.

template <class T>
static __device__ void embed(const i32 *tokens, const T *table, i64 table_stride, float *y, i64 y_stride, int columns) {
    const T *row = table + tokens[blockIdx.x] * table_stride;
    float *out = y + blockIdx.x * y_stride;
    for (int c = threadIdx.x; c < columns; c += blockDim.x) out[c] = widen(row[c]);
}
#define EMBED(T) \
    extern "C" __global__ void embed_##T( \
        const i32 *tokens, const T *table, i64 table_stride, float *y, i64 y_stride, int columns) { \
        embed<T>(tokens, table, table_stride, y, y_stride, columns); \
    }
EMBED(float)
EMBED(bf16)
EMBED(f16)

// Those that `rows` names, or all in order.
extern "C" __global__ void gather_rows(
    const i32 *rows, const float *x, i64 x_stride, float *y, i64 y_stride, int columns) {
    const float *row = x + (rows ? rows[blockIdx.x] : (i64)blockIdx.x) * x_stride;
    for (int c = threadIdx.x; c < columns; c += blockDim.x) y[blockIdx.x * y_stride + c] = row[c];
}

extern "C" __global__ void add_rows(
    const float *a, i64 a_stride, const float *b, i64 b_stride, float *y, i64 y_stride, int columns) {
    const i64 r = blockIdx.x;
    for (int c = threadIdx.x; c < columns; c += blockDim.x) y[r * y_stride + c] = a[r * a_stride + c] + b[r * b_stride + c];
}

// The first columns of every head of a row, `x_step` apart in `x`; blockIdx.y is the head.
extern "C" __global__ void pack_rows(
    const float *x, i64 x_stride, i64 x_step, void *packed, i64 packed_stride, int type, int columns) {
    const float *from = x + blockIdx.x * x_stride + blockIdx.y * x_step;
    const i64 start = ((i64)blockIdx.x * gridDim.y + blockIdx.y) * packed_stride;
    for (int c = threadIdx.x; c < packed_stride; c += blockDim.x)
        store_packed(packed, type, start + c, c < columns ? from[c] : 0.f);
}

// y = x / sqrt(mean(x²) + epsilon) * weight; with `delta`, x + delta goes to `sum` first.
extern "C" __global__ void __launch_bounds__(1024) rms_norm(
    const float *x, i64 x_stride, const float *delta, i64 delta_stride, float *sum, i64 sum_stride, const float *weight,
    float *y, i64 y_stride, void *packed, i64 packed_stride, int type, int columns, float epsilon) {
    __shared__ float scratch[33];
    const i64 r = blockIdx.x;
    const float *source = x + r * x_stride;
    float squares = 0;
    if (delta) {
        float *target = sum + r * sum_stride;
        for (int c = threadIdx.x; c < columns; c += blockDim.x) {
            const float v = source[c] + delta[r * delta_stride + c];
            target[c] = v;
            squares += v * v;
        }
        source = target;
    } else {
        for (int c = threadIdx.x; c < columns; c += blockDim.x) squares += source[c] * source[c];
    }
    const float scale = 1.f / sqrtf(block_sum(squares, scratch) / (float)columns + epsilon);
    for (int c = threadIdx.x; c < columns; c += blockDim.x) {
        const float v = source[c] * scale * weight[c];
        y[r * y_stride + c] = v;
        store_packed(packed, type, r * packed_stride + c, v);
    }
    if (type)
        for (int c = columns + threadIdx.x; c < packed_stride; c += blockDim.x)
            store_packed(packed, type, r * packed_stride + c, 0.f);
}

// y = (x - mean(x)) / sqrt(variance(x) + epsilon) * weight + bias
extern "C" __global__ void __launch_bounds__(1024) layer_norm(
    const float *x, i64 x_stride, const float *weight, const float *bias, float *y, i64 y_stride, void *packed,
    i64 packed_stride, int type, int columns, float epsilon) {
    __shared__ float scratch[33];
    const i64 r = blockIdx.x;
    const float *source = x + r * x_stride;
    float sum = 0, squares = 0;
    for (int c = threadIdx.x; c < columns; c += blockDim.x) sum += source[c];
    const float mean = block_sum(sum, scratch) / (float)columns;
    for (int c = threadIdx.x; c < columns; c += blockDim.x) squares += (source[c] - mean) * (source[c] - mean);
    const float scale = 1.f / sqrtf(block_sum(squares, scratch) / (float)columns + epsilon);
    for (int c = threadIdx.x; c < columns; c += blockDim.x) {
        const float v = (source[c] - mean) * scale * weight[c] + (bias ? bias[c] : 0.f);
        y[r * y_stride + c] = v;
        store_packed(packed, type, r * packed_stride + c, v);
    }
    if (type)
        for (int c = columns + threadIdx.x; c < packed_stride; c += blockDim.x)
            store_packed(packed, type, r * packed_stride + c, 0.f);
}

// Normalises heads in place, one warp for each; `weight_step` is from the weights of a head to those of the next.
extern "C" __global__ void normalize_heads(
    float *x, i64 x_stride, int heads, int width, const float *weight, int weight_step, int centers, float epsilon) {
    const int head = blockIdx.y * (blockDim.x >> 5) + (threadIdx.x >> 5), lane = threadIdx.x & 31;
    if (head >= heads) return;
    float *row = x + blockIdx.x * x_stride + (i64)head * width;
    float mean = 0, squares = 0;
    if (centers) {
        for (int c = lane; c < width; c += 32) mean += row[c];
        for (int o = 16; o; o >>= 1) mean += __shfl_xor_sync(0xffffffffu, mean, o);
        mean /= (float)width;
    }
    for (int c = lane; c < width; c += 32) squares += (row[c] - mean) * (row[c] - mean);
    for (int o = 16; o; o >>= 1) squares += __shfl_xor_sync(0xffffffffu, squares, o);
    const float scale = 1.f / sqrtf(squares / (float)width + epsilon);
    for (int c = lane; c < width; c += 32) row[c] = (row[c] - mean) * scale * weight[(i64)head * weight_step + c];
}

static __device__ __forceinline__ float activated(float x, int function) {
    switch (function) {
    case 0: return x / (1.f + expf(-x));
    case 1: return x * 0.5f * (1.f + erff(x * 0.70710678118654752f));
    case 2: return x * 0.5f * (1.f + tanhf(0.79788456080286536f * (x + 0.044715f * x * x * x)));
    case 3: return fmaxf(x, 0.f);
    default: return x / (1.f + expf(-1.702f * x));
    }
}

// y = function(gate) * up
extern "C" __global__ void gated(
    const float *gate, i64 gate_stride, const float *up, i64 up_stride, float *y, i64 y_stride, void *packed,
    i64 packed_stride, int type, int columns, int function) {
    const i64 r = blockIdx.x;
    for (int c = blockIdx.y * blockDim.x + threadIdx.x; c < columns; c += blockDim.x * gridDim.y) {
        const float v = activated(gate[r * gate_stride + c], function) * up[r * up_stride + c];
        y[r * y_stride + c] = v;
        store_packed(packed, type, r * packed_stride + c, v);
    }
    if (type && blockIdx.y == 0)
        for (int c = columns + threadIdx.x; c < packed_stride; c += blockDim.x)
            store_packed(packed, type, r * packed_stride + c, 0.f);
}

// y = an operation on each element of x: 0 a function, 1 bounds of a and b, 2 a cap of a, 3 the row's factor, 4 the
// sigmoid of the row's factor, 5 the column's factor. `y` may be `x`.
extern "C" __global__ void map_rows(
    const float *x, i64 x_stride, float *y, i64 y_stride, int columns, int operation, int function, float a, float b,
    const float *factors, i64 factor_stride) {
    const i64 r = blockIdx.x;
    const float factor = factors ? factors[r * factor_stride] : 0.f;
    for (int c = blockIdx.y * blockDim.x + threadIdx.x; c < columns; c += blockDim.x * gridDim.y) {
        const float v = x[r * x_stride + c];
        switch (operation) {
        case 0: y[r * y_stride + c] = activated(v, function); break;
        case 1: y[r * y_stride + c] = fminf(fmaxf(v, a), b); break;
        case 2: y[r * y_stride + c] = a * tanhf(v / a); break;
        case 3: y[r * y_stride + c] = v * factor; break;
        case 4: y[r * y_stride + c] = v * (1.f / (1.f + expf(-factor))); break;
        default: y[r * y_stride + c] = v * factors[c];
        }
    }
}

// Cosines and sines of position * frequency; row r uses the frequencies `sets[r]`, `pairs` each, and its magnitude where
// there are some.
extern "C" __global__ void rotation_table(
    const i32 *positions, const i32 *sets, const float *frequencies, const float *magnitudes, float *cosines,
    float *sines, int pairs, float all_magnitude, const i32 *axes) {
    const i64 r = blockIdx.x;
    const float magnitude = magnitudes ? magnitudes[r] : all_magnitude;
    const float *set = frequencies + (sets ? sets[r] : 0) * (i64)pairs;
    for (int p = threadIdx.x; p < pairs; p += blockDim.x) {
        // Positions on the first axis come first, those of all rows.
        const float angle = (float)positions[r + (axes ? axes[p] * (i64)gridDim.x : 0)] * set[p];
        cosines[r * pairs + p] = cosf(angle) * magnitude;
        sines[r * pairs + p] = sinf(angle) * magnitude;
    }
}

// Numbers that look random: fills `count` elements with values in (-scale, scale), for measurements.
extern "C" __global__ void fill_random(void *out, i64 count, int type, float scale, u32 seed) {
    for (i64 i = (i64)blockIdx.x * blockDim.x + threadIdx.x; i < count; i += (i64)gridDim.x * blockDim.x) {
        u32 h = (u32)i * 0x9E3779B9u ^ (u32)(i >> 32) ^ seed;
        h = (h ^ (h >> 16)) * 0x85EBCA6Bu;
        h = (h ^ (h >> 13)) * 0xC2B2AE35u;
        h ^= h >> 16;
        const float v = ((float)h * 0x1p-31f - 1.f) * scale;
        if (type == 0) ((float *)out)[i] = v;
        else store_packed(out, type, i, v);
    }
}
// Adds one row to all; blockIdx.x is the row.
extern "C" __global__ void add_bias(float *y, i64 y_stride, const float *bias, int columns) {
    const int c = blockIdx.y * blockDim.x + threadIdx.x;
    if (c < columns) y[blockIdx.x * y_stride + c] += bias[c];
}
// A number for the bits of each row.
extern "C" __global__ void hash_rows(const float *x, i64 x_stride, u64 *hashes, int columns) {
    __shared__ u64 scratch[33];
    u64 sum = 0;
    for (int c = threadIdx.x; c < columns; c += blockDim.x) {
        u64 h = ((u64)__float_as_uint(x[blockIdx.x * x_stride + c]) << 32 | (u32)c) * 0x9E3779B97F4A7C15ull;
        h = (h ^ h >> 29) * 0xBF58476D1CE4E5B9ull;
        sum += h ^ h >> 32;
    }
    const u64 all = block_sum(sum, scratch);
    if (threadIdx.x == 0) hashes[blockIdx.x] = all;
}
extern "C" __global__ void copy_words(const Words *from, Words *to, i64 count) {
    for (i64 i = (i64)blockIdx.x * blockDim.x + threadIdx.x; i < count; i += (i64)gridDim.x * blockDim.x) to[i] = from[i];
}
