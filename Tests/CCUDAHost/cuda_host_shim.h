// Runs the threads of a CUDA block as fibers on one thread, so that a .cu file compiles and runs as C++ of the host.
// Barriers and operations of a warp are where fibers switch; a barrier that not every live thread reaches aborts.
// Copies to shared memory happen as late as their wait allows. For tests alone.
#pragma once
#include <math.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <ucontext.h>
#include <utility>
#include <vector>

typedef uint8_t u8;
typedef int8_t i8;
typedef uint16_t u16;
typedef uint32_t u32;
typedef uint64_t u64;
typedef int64_t i64;
typedef int32_t i32;

namespace cuda_host {
struct Dim { unsigned x, y, z; };
enum State { ready, at_block, at_warp, done };
struct Copy { void *to; const void *from; bool exists; };
struct Fiber {
    jmp_buf resume;
    ucontext_t context;
    char *stack;
    Dim thread;
    int lane, warp;
    unsigned operations;
    State state;
    bool started;
    std::vector<std::vector<Copy>> groups;
    std::vector<Copy> open;
};
// What the lanes of a warp tell each other, twice: while some read one, others may write the next.
struct Warp { u64 words[2][32]; u32 fragments[2][32][6]; };
struct Block {
    Dim grid, size, id;
    std::vector<Fiber> fibers;
    std::vector<Warp> warps;
    void (*entry)(void *);
    void *argument;
    unsigned char *shared;
    jmp_buf scheduler;
    bool backwards;
};
extern thread_local Block *block;
extern thread_local Fiber *fiber;
void run(Dim grid, Dim size, size_t shared, void (*entry)(void *), void *argument);
void wait(State state);

// All live lanes of a warp call these together.
static inline u64 exchange(u64 v, int source) {
    Warp &w = block->warps[fiber->warp];
    const unsigned turn = fiber->operations++ & 1;
    w.words[turn][fiber->lane] = v;
    wait(at_warp);
    return w.words[turn][source & 31];
}
template <class T> static inline T shuffle(T v, int source) {
    static_assert(sizeof(T) <= 8, "at most a word");
    u64 word = 0;
    memcpy(&word, &v, sizeof v);
    word = exchange(word, source);
    memcpy(&v, &word, sizeof v);
    return v;
}

template <class... A, size_t... I>
static inline void apply(void (*kernel)(A...), void **arguments, std::index_sequence<I...>) {
    kernel(*(A *)arguments[I]...);
}
template <class... A> struct Call { void (*kernel)(A...); void **arguments; };
template <class... A> void enter(void *c) {
    auto *call = (Call<A...> *)c;
    apply(call->kernel, call->arguments, std::index_sequence_for<A...>());
}
template <class... A> void launch(void (*kernel)(A...), Dim grid, Dim size, size_t shared, void **arguments) {
    Call<A...> call{kernel, arguments};
    run(grid, size, shared, enter<A...>, &call);
}
} // namespace cuda_host

#define threadIdx (cuda_host::fiber->thread)
#define blockIdx (cuda_host::block->id)
#define blockDim (cuda_host::block->size)
#define gridDim (cuda_host::block->grid)
#define __global__
#define __device__
#define __forceinline__ inline
#define __shared__ static thread_local
#define __launch_bounds__(...)
#define __align__(n) __attribute__((aligned(n)))
#define DYNAMIC_SHARED(name) unsigned char *name = cuda_host::block->shared

static inline void __syncthreads() { cuda_host::wait(cuda_host::at_block); }
static inline void __syncwarp(unsigned = ~0u) { cuda_host::wait(cuda_host::at_warp); }
template <class T> static inline T __shfl_xor_sync(unsigned, T v, int mask) {
    return cuda_host::shuffle(v, cuda_host::fiber->lane ^ mask);
}
template <class T> static inline T __shfl_sync(unsigned, T v, int source) { return cuda_host::shuffle(v, source); }
static inline u32 __ballot_sync(unsigned, bool vote) {
    using namespace cuda_host;
    Warp &w = block->warps[fiber->warp];
    const unsigned turn = fiber->operations++ & 1;
    w.words[turn][fiber->lane] = vote;
    cuda_host::wait(at_warp);
    u32 votes = 0;
    for (int i = 0; i < 32; ++i) votes |= (u32)(w.words[turn][i] & 1) << i;
    return votes;
}
static inline int __popc(u32 v) { return __builtin_popcount(v); }
template <class T> static inline T atomicAdd(T *p, T v) { T old = *p; *p = old + v; return old; }
template <class T> static inline T atomicMax(T *p, T v) { T old = *p; if (v > old) *p = v; return old; }
template <class T> static inline T atomicMin(T *p, T v) { T old = *p; if (v < old) *p = v; return old; }
static inline int min(int a, int b) { return a < b ? a : b; }
static inline int max(int a, int b) { return a > b ? a : b; }
static inline u64 min(u64 a, u64 b) { return a < b ? a : b; }
static inline u64 max(u64 a, u64 b) { return a > b ? a : b; }
static inline float __uint_as_float(unsigned u) { float f; memcpy(&f, &u, 4); return f; }
static inline unsigned __float_as_uint(float f) { unsigned u; memcpy(&u, &f, 4); return u; }
static inline float __fmaf_rn(float a, float b, float c) { return fmaf(a, b, c); }
static inline float __fmul_rn(float a, float b) { return a * b; }
static inline float __fadd_rn(float a, float b) { return a + b; }
static inline float __fsub_rn(float a, float b) { return a - b; }

// The host's versions of what common.cuh has for the device.
struct __align__(2) bf16 { u16 bits; };
struct __align__(2) f16 { u16 bits; };
static inline float widen(float v) { return v; }
static inline float widen(i8 v) { return v; }
static inline float widen(bf16 v) { return __uint_as_float((u32)v.bits << 16); }
static inline float widen(f16 v) { _Float16 h; memcpy(&h, &v, 2); return (float)h; }
static inline void narrow(float f, float &v) { v = f; }
static inline void narrow(float f, bf16 &v) {
    const u32 u = __float_as_uint(f);
    v.bits = (u & 0x7fffffffu) > 0x7f800000u ? 0x7fff : (u16)((u + 0x7fffu + (u >> 16 & 1)) >> 16);
}
static inline void narrow(float f, f16 &v) { const _Float16 h = (_Float16)f; memcpy(&v, &h, 2); }
template <class T> static inline u32 pack(float a, float b, T) {
    T first, second;
    narrow(a, first);
    narrow(b, second);
    return first.bits | (u32)second.bits << 16;
}
static inline float exp2_fast(float x) { return exp2f(x); }
static inline u32 __byte_perm(u32 a, u32 b, u32 selector) {
    const u64 bytes = a | (u64)b << 32;
    u32 r = 0;
    for (int i = 0; i < 4; ++i) r |= (u32)(bytes >> (selector >> 4 * i & 7) * 8 & 255) << 8 * i;
    return r;
}

template <class T> static inline float half_of(u32 word, int index) {
    const T v = {(u16)(index & 1 ? word >> 16 : word)};
    return widen(v);
}
// Products of two halves are exact in float64, and so is a sum with a third but for numbers that are far apart.
template <class F> static inline u32 each_half(F function) {
    const _Float16 first = (_Float16)function(0), second = (_Float16)function(1);
    u16 bits[2];
    memcpy(bits, &first, 2);
    memcpy(bits + 1, &second, 2);
    return bits[0] | (u32)bits[1] << 16;
}
static inline u32 subtract_halves(u32 a, u32 b) {
    return each_half([=](int i) { return half_of<f16>(a, i) - half_of<f16>(b, i); });
}
static inline u32 multiply_halves(u32 a, u32 b) {
    return each_half([=](int i) { return half_of<f16>(a, i) * half_of<f16>(b, i); });
}
static inline u32 fuse_halves(u32 a, u32 b, u32 c) {
    return each_half([=](int i) { return (double)half_of<f16>(a, i) * half_of<f16>(b, i) + half_of<f16>(c, i); });
}
// Sums in float64, as the tensor cores' order is not known.
template <class T> static inline void mma(float (&d)[4], const u32 (&a)[4], u32 b0, u32 b1, T) {
    using namespace cuda_host;
    Warp &w = block->warps[fiber->warp];
    const unsigned turn = fiber->operations++ & 1;
    const int lane = fiber->lane;
    auto &f = w.fragments[turn];
    memcpy(f[lane], a, 16);
    f[lane][4] = b0;
    f[lane][5] = b1;
    cuda_host::wait(at_warp);
    for (int e = 0; e < 4; ++e) {
        const int row = lane / 4, column = lane % 4 * 2 + (e & 1);
        double sum = d[e];
        for (int k = 0; k < 16; ++k) {
            const u32 from_a = f[row * 4 + k % 8 / 2][(e >> 1) + k / 8 * 2], from_b = f[column * 4 + k % 8 / 2][4 + k / 8];
            sum += (double)half_of<T>(from_a, k) * (double)half_of<T>(from_b, k);
        }
        d[e] = (float)sum;
    }
}
static inline void load_matrices(u32 (&r)[4], const void *row, bool transposed) {
    using namespace cuda_host;
    Warp &w = block->warps[fiber->warp];
    const unsigned turn = fiber->operations++ & 1;
    const int lane = fiber->lane;
    if ((uintptr_t)row % 16) { fprintf(stderr, "ldmatrix: a row that is not aligned\n"); abort(); }
    w.words[turn][lane] = (u64)row;
    cuda_host::wait(at_warp);
    for (int i = 0; i < 4; ++i) {
        const u64 *rows = w.words[turn] + i * 8;
        if (transposed) {
            const u16 low = ((const u16 *)rows[lane % 4 * 2])[lane / 4], high = ((const u16 *)rows[lane % 4 * 2 + 1])[lane / 4];
            r[i] = low | (u32)high << 16;
        } else {
            memcpy(&r[i], (const u16 *)rows[lane / 4] + lane % 4 * 2, 4);
        }
    }
    // Lanes read what the others name: nobody may go on and change it.
    cuda_host::wait(at_warp);
}
static inline void load_matrices(u32 (&r)[4], const void *row) { load_matrices(r, row, false); }
static inline void load_matrices_transposed(u32 (&r)[4], const void *row) { load_matrices(r, row, true); }

static inline void copy_async(void *to, const void *from, bool exists = true) {
    if ((uintptr_t)to % 16 || (uintptr_t)from % 16) { fprintf(stderr, "cp.async: an address that is not aligned\n"); abort(); }
    cuda_host::fiber->open.push_back({to, from, exists});
}
static inline void commit_copies() {
    cuda_host::fiber->groups.push_back(std::move(cuda_host::fiber->open));
    cuda_host::fiber->open.clear();
}
template <int N> static inline void wait_copies() {
    auto &groups = cuda_host::fiber->groups;
    while (groups.size() > N) {
        for (const auto &c : groups.front()) {
            if (c.exists) memcpy(c.to, c.from, 16);
            else memset(c.to, 0, 16);
        }
        groups.erase(groups.begin());
    }
}

// Products of a group of warps, which read the tiles as they are when they are told.
static inline unsigned char *align_shared(unsigned char *p, u32 bytes) {
    return (unsigned char *)(((uintptr_t)p + bytes - 1) / bytes * bytes);
}
static inline void begin_products() {}
static inline void commit_products() {}
template <int N> static inline void wait_products() {}
static inline void publish_copies() {}
template <int N, class T> static inline void multiply_tiles(float *d, const T *a, const T *b, int k, int adds) {
    if ((uintptr_t)a % 1024 || (uintptr_t)b % 1024) { fprintf(stderr, "wgmma: a tile that is not aligned\n"); abort(); }
    const int lane = cuda_host::fiber->lane, warp = cuda_host::fiber->warp % 4;
    for (int i = 0; i < N / 2; ++i) {
        const int row = warp * 16 + lane / 4 + (i >> 1 & 1) * 8, column = i / 4 * 8 + lane % 4 * 2 + (i & 1);
        double sum = adds ? d[i] : 0;
        for (int c = 0; c < 16; ++c) {
            const int chunk = 2 * k + c / 8;
            sum += (double)widen(a[row * 64 + ((chunk ^ (row & 7)) << 3) + c % 8]) *
                   (double)widen(b[column * 64 + ((chunk ^ (column & 7)) << 3) + c % 8]);
        }
        d[i] = (float)sum;
    }
}
