// What all kernels share. Includes no header of CUDA's, so that the compiler library alone is enough. The same sources
// are compiled for the host in tests, where cuda_host_shim.h comes first.
#pragma once
#ifndef CUDA_HOST_SHIM
typedef unsigned char u8;
typedef signed char i8;
typedef unsigned short u16;
typedef unsigned int u32;
typedef unsigned long long u64;
typedef long long i64;
typedef int i32;
#define DYNAMIC_SHARED(name) extern __shared__ __align__(128) unsigned char name[]
// The first address from `p` on, in shared memory, that is a multiple of `bytes`.
static __device__ __forceinline__ unsigned char *align_shared(unsigned char *p, u32 bytes) {
    const u32 address = (u32)__cvta_generic_to_shared(p);
    return p + ((address + bytes - 1) / bytes * bytes - address);
}
#define INFINITY __int_as_float(0x7f800000)
#define NAN __int_as_float(0x7fffffff)

struct __align__(2) bf16 { u16 bits; };
struct __align__(2) f16 { u16 bits; };

static __device__ __forceinline__ float widen(float v) { return v; }
static __device__ __forceinline__ float widen(i8 v) { return (float)v; }
static __device__ __forceinline__ float widen(bf16 v) { return __uint_as_float((u32)v.bits << 16); }
static __device__ __forceinline__ float widen(f16 v) {
    float f;
    asm("cvt.f32.f16 %0, %1;" : "=f"(f) : "h"(v.bits));
    return f;
}
static __device__ __forceinline__ void narrow(float f, float &v) { v = f; }
static __device__ __forceinline__ void narrow(float f, bf16 &v) { asm("cvt.rn.bf16.f32 %0, %1;" : "=h"(v.bits) : "f"(f)); }
static __device__ __forceinline__ void narrow(float f, f16 &v) { asm("cvt.rn.f16.f32 %0, %1;" : "=h"(v.bits) : "f"(f)); }

// Two numbers in one register, the first in the low half.
static __device__ __forceinline__ u32 pack(float a, float b, bf16) {
    u32 r;
    asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(r) : "f"(b), "f"(a));
    return r;
}
static __device__ __forceinline__ u32 pack(float a, float b, f16) {
    u32 r;
    asm("cvt.rn.f16x2.f32 %0, %1, %2;" : "=r"(r) : "f"(b), "f"(a));
    return r;
}
// Two numbers of 16 bits at once, each rounded once: a - b, a b, a b + c.
static __device__ __forceinline__ u32 subtract_halves(u32 a, u32 b) {
    u32 r;
    asm("sub.rn.f16x2 %0, %1, %2;" : "=r"(r) : "r"(a), "r"(b));
    return r;
}
static __device__ __forceinline__ u32 multiply_halves(u32 a, u32 b) {
    u32 r;
    asm("mul.rn.f16x2 %0, %1, %2;" : "=r"(r) : "r"(a), "r"(b));
    return r;
}
static __device__ __forceinline__ u32 fuse_halves(u32 a, u32 b, u32 c) {
    u32 r;
    asm("fma.rn.f16x2 %0, %1, %2, %3;" : "=r"(r) : "r"(a), "r"(b), "r"(c));
    return r;
}
static __device__ __forceinline__ float exp2_fast(float x) {
    float y;
    asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
    return y;
}

// d += a b: 16 x 8 += 16 x 16 times 16 x 8, spread over the lanes of a warp as PTX says for mma.m16n8k16.
static __device__ __forceinline__ void mma(float (&d)[4], const u32 (&a)[4], u32 b0, u32 b1, bf16) {
    asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
                 : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}
static __device__ __forceinline__ void mma(float (&d)[4], const u32 (&a)[4], u32 b0, u32 b1, f16) {
    asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
                 : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}
// Four 8 x 8 matrices of 16-bit numbers; lane i names row i % 8 of matrix i / 8.
static __device__ __forceinline__ void load_matrices(u32 (&r)[4], const void *row) {
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0,%1,%2,%3}, [%4];"
                 : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
                 : "r"((u32)__cvta_generic_to_shared(row)) : "memory");
}
// The same, each transposed.
static __device__ __forceinline__ void load_matrices_transposed(u32 (&r)[4], const void *row) {
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0,%1,%2,%3}, [%4];"
                 : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
                 : "r"((u32)__cvta_generic_to_shared(row)) : "memory");
}
// Copies 16 bytes to shared memory in the background, or zeros where `exists` is false.
static __device__ __forceinline__ void copy_async(void *to, const void *from, bool exists = true) {
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"((u32)__cvta_generic_to_shared(to)), "l"(from),
                 "r"(exists ? 16 : 0) : "memory");
}
static __device__ __forceinline__ void commit_copies() { asm volatile("cp.async.commit_group;" ::: "memory"); }
// Waits until at most N of this thread's groups are under way.
template <int N> static __device__ __forceinline__ void wait_copies() {
    asm volatile("cp.async.wait_group %0;" ::"n"(N) : "memory");
}
#endif

struct __align__(16) Words { u32 w[4]; };

// The sum, or the largest, over a block of whole warps, in an order that depends on the block's size alone. Every
// thread gets it. `scratch` holds 33 numbers.
template <class T> static __device__ __forceinline__ T block_sum(T v, T *scratch) {
    const int lane = threadIdx.x & 31, warp = threadIdx.x >> 5, warps = blockDim.x >> 5;
    for (int o = 16; o; o >>= 1) v += __shfl_xor_sync(0xffffffffu, v, o);
    if (lane == 0) scratch[warp] = v;
    __syncthreads();
    if (threadIdx.x < 32) {
        T s = lane < warps ? scratch[lane] : (T)0;
        for (int o = 16; o; o >>= 1) s += __shfl_xor_sync(0xffffffffu, s, o);
        if (lane == 0) scratch[32] = s;
    }
    __syncthreads();
    const T sum = scratch[32];
    __syncthreads();
    return sum;
}

// Rows in the form that products take: element type 1 is bfloat16, 2 float16, 0 none. What is too large for float16 becomes
// its largest number; what is no number stays none.
static __device__ __forceinline__ void store_packed(void *packed, int type, i64 index, float v) {
    if (type == 1) narrow(v, ((bf16 *)packed)[index]);
    else if (type == 2) narrow(v != v ? v : fminf(fmaxf(v, -65504.f), 65504.f), ((f16 *)packed)[index]);
}
