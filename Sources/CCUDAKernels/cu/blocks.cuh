#pragma once
#include "common.cuh"
// Weights whose numbers have few bits: the blocks of GGUF files, and the order in which products read them.
//
// A number is (code - OFFSET) * scale + minimum; GROUP numbers share scale and minimum. In formats with levels these are
// a level of few bits times a number of the block.

// What is common to formats. CODE_BITS of a code are in a plane of LOW bits and one of HIGH bits.
template <int ELEMENTS_, int BYTES_, int BITS_, int GROUP_, int OFFSET_, bool MINIMUM_, bool LEVELS_> struct Format {
    enum {
        ELEMENTS = ELEMENTS_, BYTES = BYTES_, GROUP = GROUP_, OFFSET = OFFSET_, MINIMUM = MINIMUM_, LEVELS = LEVELS_,
        LOW = BITS_ == 8 ? 8 : BITS_ >= 4 ? 4 : 2,
        HIGH = BITS_ - LOW,
    };
};

static __device__ __forceinline__ u32 load_u16(const u8 *p) { return p[0] | (u32)p[1] << 8; }
static __device__ __forceinline__ float load_half(const u8 *p) {
    const f16 v = {(u16)load_u16(p)};
    return widen(v);
}

// Each format reads a block as the file has it: `code` of number i; `scale` and `minimum` as the bits of float16, those of
// the block where there are levels; `level` and `minimum_level` of group g.
struct q4_0 : Format<32, 18, 4, 32, 8, false, false> {
    static __device__ u32 code(const u8 *b, int i) { return b[2 + i % 16] >> i / 16 * 4 & 15; }
    static __device__ u32 scale(const u8 *b) { return load_u16(b); }
    static __device__ u32 minimum(const u8 *) { return 0; }
    static __device__ int level(const u8 *, int) { return 1; }
    static __device__ int minimum_level(const u8 *, int) { return 0; }
};
struct q4_1 : Format<32, 20, 4, 32, 0, true, false> {
    static __device__ u32 code(const u8 *b, int i) { return b[4 + i % 16] >> i / 16 * 4 & 15; }
    static __device__ u32 scale(const u8 *b) { return load_u16(b); }
    static __device__ u32 minimum(const u8 *b) { return load_u16(b + 2); }
    static __device__ int level(const u8 *, int) { return 1; }
    static __device__ int minimum_level(const u8 *, int) { return 1; }
};
struct q5_0 : Format<32, 22, 5, 32, 16, false, false> {
    static __device__ u32 code(const u8 *b, int i) {
        return (b[6 + i % 16] >> i / 16 * 4 & 15) | (b[2 + i / 8] >> i % 8 & 1u) << 4;
    }
    static __device__ u32 scale(const u8 *b) { return load_u16(b); }
    static __device__ u32 minimum(const u8 *) { return 0; }
    static __device__ int level(const u8 *, int) { return 1; }
    static __device__ int minimum_level(const u8 *, int) { return 0; }
};
struct q5_1 : Format<32, 24, 5, 32, 0, true, false> {
    static __device__ u32 code(const u8 *b, int i) {
        return (b[8 + i % 16] >> i / 16 * 4 & 15) | (b[4 + i / 8] >> i % 8 & 1u) << 4;
    }
    static __device__ u32 scale(const u8 *b) { return load_u16(b); }
    static __device__ u32 minimum(const u8 *b) { return load_u16(b + 2); }
    static __device__ int level(const u8 *, int) { return 1; }
    static __device__ int minimum_level(const u8 *, int) { return 1; }
};
struct q8_0 : Format<32, 34, 8, 32, 128, false, false> {
    static __device__ u32 code(const u8 *b, int i) { return b[2 + i] ^ 128u; }
    static __device__ u32 scale(const u8 *b) { return load_u16(b); }
    static __device__ u32 minimum(const u8 *) { return 0; }
    static __device__ int level(const u8 *, int) { return 1; }
    static __device__ int minimum_level(const u8 *, int) { return 0; }
};
// Minima of formats with levels are taken away.
static __device__ __forceinline__ u32 negated(u32 half) { return half ^ 0x8000u; }
struct q2_K : Format<256, 84, 2, 16, 0, true, true> {
    static __device__ u32 code(const u8 *b, int i) { return b[16 + i / 128 * 32 + i % 32] >> i / 32 % 4 * 2 & 3; }
    static __device__ u32 scale(const u8 *b) { return load_u16(b + 80); }
    static __device__ u32 minimum(const u8 *b) { return negated(load_u16(b + 82)); }
    static __device__ int level(const u8 *b, int g) { return b[g] & 15; }
    static __device__ int minimum_level(const u8 *b, int g) { return b[g] >> 4; }
};
struct q3_K : Format<256, 110, 3, 16, 4, false, true> {
    static __device__ u32 code(const u8 *b, int i) {
        return (b[32 + i / 128 * 32 + i % 32] >> i / 32 % 4 * 2 & 3) | (b[i % 32] >> i / 32 & 1u) << 2;
    }
    static __device__ u32 scale(const u8 *b) { return load_u16(b + 108); }
    static __device__ u32 minimum(const u8 *) { return 0; }
    static __device__ int level(const u8 *b, int g) {
        const u8 *s = b + 96;
        return ((s[g % 8] >> g / 8 * 4 & 15) | (s[8 + g % 4] >> g / 4 * 2 & 3) << 4) - 32;
    }
    static __device__ int minimum_level(const u8 *, int) { return 0; }
};
// Levels of q4_K and q5_K: eight of 6 bits for scales, eight for minima, in twelve bytes.
static __device__ __forceinline__ int six_bits(const u8 *s, int g, bool is_minimum) {
    const int at = is_minimum ? 4 : 0;
    if (g < 4) return s[g + at] & 63;
    return (s[g + 4] >> at & 15) | s[g - 4 + at] >> 6 << 4;
}
struct q4_K : Format<256, 144, 4, 32, 0, true, true> {
    static __device__ u32 code(const u8 *b, int i) { return b[16 + i / 64 * 32 + i % 32] >> i / 32 % 2 * 4 & 15; }
    static __device__ u32 scale(const u8 *b) { return load_u16(b); }
    static __device__ u32 minimum(const u8 *b) { return negated(load_u16(b + 2)); }
    static __device__ int level(const u8 *b, int g) { return six_bits(b + 4, g, false); }
    static __device__ int minimum_level(const u8 *b, int g) { return six_bits(b + 4, g, true); }
};
struct q5_K : Format<256, 176, 5, 32, 0, true, true> {
    static __device__ u32 code(const u8 *b, int i) {
        return (b[48 + i / 64 * 32 + i % 32] >> i / 32 % 2 * 4 & 15) | (b[16 + i % 32] >> i / 32 & 1u) << 4;
    }
    static __device__ u32 scale(const u8 *b) { return load_u16(b); }
    static __device__ u32 minimum(const u8 *b) { return negated(load_u16(b + 2)); }
    static __device__ int level(const u8 *b, int g) { return six_bits(b + 4, g, false); }
    static __device__ int minimum_level(const u8 *b, int g) { return six_bits(b + 4, g, true); }
};
struct q6_K : Format<256, 210, 6, 16, 32, false, true> {
    static __device__ u32 code(const u8 *b, int i) {
        return (b[i / 128 * 64 + i % 64] >> i / 64 % 2 * 4 & 15) |
               (b[128 + i / 128 * 32 + i % 32] >> i / 32 % 4 * 2 & 3u) << 4;
    }
    static __device__ u32 scale(const u8 *b) { return load_u16(b + 208); }
    static __device__ u32 minimum(const u8 *) { return 0; }
    static __device__ int level(const u8 *b, int g) { return (i8)b[192 + g]; }
    static __device__ int minimum_level(const u8 *, int) { return 0; }
};

// Number i of a block in float32: what the packed form is the fast twin of.
template <class F> static __device__ __forceinline__ float number_of(const u8 *b, int i) {
    const f16 d = {(u16)F::scale(b)}, m = {(u16)F::minimum(b)};
    const float scale = __fmul_rn(widen(d), (float)F::level(b, i / F::GROUP));
    const float minimum = __fmul_rn(widen(m), (float)F::minimum_level(b, i / F::GROUP));
    return __fadd_rn(__fmul_rn(scale, (float)((int)F::code(b, i) - F::OFFSET)), minimum);
}

// Products read weights in strips of sixteen outputs, a strip in records of 64 inputs. A record is what the lanes of a
// warp need for their parts of the second matrix of mma.m16n8k16, eight times:
//   LOW bits of each code, 16 bytes for each lane, or 8, or twice 16;
//   HIGH bits of each code, 4 bytes for each lane or 8;
//   scales, 8 bytes for each pair of outputs n and n + 8, or 16.
// Pair p of a lane's codes (0 to 15) is of output n + p / 8 * 8 and of step p / 2 % 4 of sixteen inputs, of which it has
// 2t + p % 2 * 8 and the next, where n = lane / 4 and t = lane % 4. Its codes lie 16 bits apart in a word.
//
// The numbers that levels are multiplied with follow the records: 8 bytes for each pair of outputs and 256 inputs, or 4.
template <class F> struct Packed {
    enum {
        HAS_HIGH = F::HIGH > 0,
        LOW_WORDS = F::LOW, // of a lane
        HIGH_WORDS = F::HIGH,
        SCALE_WORDS = !F::LEVELS && F::MINIMUM ? 4 : 2,
        BASE_WORDS = !F::LEVELS ? 0 : F::MINIMUM ? 2 : 1,
        HIGH_AT = 32 * 4 * LOW_WORDS,
        SCALES_AT = HIGH_AT + 32 * 4 * HIGH_WORDS,
        RECORD = SCALES_AT + 8 * 4 * SCALE_WORDS,
        BASES = 8 * 4 * BASE_WORDS,
    };
    // Where word j of a lane's low codes is: sixteen bytes of all lanes, then the next.
    static __device__ __forceinline__ int low_word(int lane, int j) {
        return LOW_WORDS <= 4 ? lane * LOW_WORDS + j : j / 4 * 128 + lane * 4 + j % 4;
    }
};
