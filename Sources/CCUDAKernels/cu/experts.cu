#include "products.cuh"
// Mixtures of experts: which of them compute a row, with what weight, and how rows are sorted by expert. A choice is an
// expert of a row; those of a row are sorted by the experts' numbers. Where a row lies among others shows in no result.

// Numbers below zero are not to be had.
enum { TAKEN = -2, REFUSED = -1 };

struct Taken { int place; float value; };

// The largest of `count` numbers, the first of equals, which becomes TAKEN. What is not a number counts as 0.
static __device__ __forceinline__ Taken take_largest(float *numbers, int count) {
    const int lane = threadIdx.x & 31;
    int place = 0;
    float largest = -INFINITY;
    for (int i = lane; i < count; i += 32) {
        const float v = numbers[i] == numbers[i] ? numbers[i] : 0.f;
        if (v > largest) largest = v, place = i;
    }
    for (int o = 16; o; o >>= 1) {
        const float v = __shfl_xor_sync(0xffffffffu, largest, o);
        const int at = __shfl_xor_sync(0xffffffffu, place, o);
        if (v > largest || (v == largest && at < place)) largest = v, place = at;
    }
    const Taken taken = {place, numbers[place]};
    __syncwarp();
    if (lane == 0) numbers[place] = TAKEN;
    __syncwarp();
    return taken;
}

// The choices of row blockIdx.x, as RoutingRule says. Shared memory: a number for each expert and group, two for each
// choice.
extern "C" __global__ void __launch_bounds__(32) route_rows(
    const float *scores, i64 stride, i32 *choices, float *weights, int experts, int chosen, int groups, int kept,
    int normalizes, float scale) {
    DYNAMIC_SHARED(bytes);
    float *probabilities = (float *)bytes, *best = probabilities + experts, *shares = best + groups;
    i32 *taken = (i32 *)(shares + chosen);
    const int lane = threadIdx.x;
    const float *row = scores + blockIdx.x * stride;
    float top = -INFINITY, total = 0;
    for (int e = lane; e < experts; e += 32) top = fmaxf(top, row[e]);
    for (int o = 16; o; o >>= 1) top = fmaxf(top, __shfl_xor_sync(0xffffffffu, top, o));
    for (int e = lane; e < experts; e += 32) {
        probabilities[e] = expf(row[e] - top);
        total += probabilities[e];
    }
    for (int o = 16; o; o >>= 1) total += __shfl_xor_sync(0xffffffffu, total, o);
    for (int e = lane; e < experts; e += 32) probabilities[e] /= total;
    __syncwarp();
    if (groups) {
        const int size = experts / groups;
        for (int g = lane; g < groups; g += 32) {
            best[g] = 0;
            for (int e = g * size; e < (g + 1) * size; ++e) best[g] = fmaxf(best[g], probabilities[e]);
        }
        __syncwarp();
        for (int j = 0; j < kept; ++j) take_largest(best, groups);
        for (int e = lane; e < experts; e += 32)
            if (best[e / size] != TAKEN) probabilities[e] = REFUSED;
        __syncwarp();
    }
    float sum = 0;
    for (int j = 0; j < chosen; ++j) {
        const Taken next = take_largest(probabilities, experts);
        if (lane == 0) {
            taken[j] = next.place;
            shares[j] = next.value < 0 ? 0.f : next.value;
        }
        __syncwarp();
        sum += shares[j];
    }
    for (int j = lane; j < chosen; j += 32) {
        int before = 0;
        for (int i = 0; i < chosen; ++i) before += taken[i] < taken[j] || (taken[i] == taken[j] && i < j);
        const i64 at = (i64)blockIdx.x * chosen + before;
        choices[at] = taken[j];
        weights[at] = shares[j] / (normalizes ? sum : 1.f) * scale;
    }
}

// Sorts `count` choices by expert, those of one expert in the order of their rows; block `e` finds the places of its
// expert's. `starts` are the first places of experts, and the end; `sources` the rows by place, `places` those of choices.
extern "C" __global__ void __launch_bounds__(256) sort_choices(
    const i32 *choices, int count, int chosen, i32 *starts, i32 *sources, i32 *places) {
    __shared__ int scratch[33];
    __shared__ int votes_of_warp[8];
    const int expert = blockIdx.x, lane = threadIdx.x & 31, warp = threadIdx.x >> 5;
    int fewer = 0;
    for (int i = threadIdx.x; i < count; i += 256) fewer += choices[i] < expert;
    int start = block_sum(fewer, scratch);
    if (threadIdx.x == 0) {
        starts[expert] = start;
        if (expert + 1 == gridDim.x) starts[gridDim.x] = count;
    }
    for (int base = 0; base < count; base += 256) {
        const int i = base + threadIdx.x;
        const bool is_ours = i < count && choices[i] == expert;
        const u32 votes = __ballot_sync(0xffffffffu, is_ours);
        if (lane == 0) votes_of_warp[warp] = __popc(votes);
        __syncthreads();
        int place = start + __popc(votes & ((1u << lane) - 1));
        for (int w = 0; w < 8; ++w) {
            if (w < warp) place += votes_of_warp[w];
            start += votes_of_warp[w];
        }
        if (is_ours) {
            sources[place] = i / chosen;
            places[i] = place;
        }
        __syncthreads();
    }
}

// Cuts the sorted rows of each expert into tiles of at most `rows`; a warp for each expert. What is left of `count`
// tiles has no rows.
extern "C" __global__ void __launch_bounds__(32) cut_tiles(const i32 *starts, int rows, ExpertTile *tiles, int count) {
    const int expert = blockIdx.x, lane = threadIdx.x;
    int first = 0;
    for (int e = lane; e < expert; e += 32) first += (starts[e + 1] - starts[e] + rows - 1) / rows;
    for (int o = 16; o; o >>= 1) first += __shfl_xor_sync(0xffffffffu, first, o);
    const int start = starts[expert], all = starts[expert + 1] - start, ours = (all + rows - 1) / rows;
    for (int t = lane; t < ours; t += 32) tiles[first + t] = {expert, start + t * rows, min(rows, all - t * rows), 0};
    if (expert + 1 == gridDim.x)
        for (int t = first + ours + lane; t < count; t += 32) tiles[t] = {0, 0, 0, 0};
}

// y = the sum of what a row's experts made of it, times their weights, in the order of their numbers.
extern "C" __global__ void mix_rows(
    const float *x, i64 x_stride, const i32 *places, const float *weights, int chosen, float *y, i64 y_stride, int columns) {
    const i64 first = (i64)blockIdx.x * chosen;
    for (int c = blockIdx.y * blockDim.x + threadIdx.x; c < columns; c += blockDim.x * gridDim.y) {
        float v = 0;
        for (int j = 0; j < chosen; ++j) v = __fmaf_rn(weights[first + j], x[places[first + j] * x_stride + c], v);
        y[blockIdx.x * y_stride + c] = v;
    }
}
