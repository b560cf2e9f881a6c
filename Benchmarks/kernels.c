/// Measures the kernels on one core beside what the core can do at most: bytes read per second from memory,
/// float32 multiply-adds, and 8-bit multiply-adds. `make bench-kernels` builds and runs it.
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "../Sources/CKernels/attention.h"
#include "../Sources/CKernels/panels.h"

static double now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + (double)time.tv_nsec * 1e-9;
}

/// Seconds of the fastest of many calls.
#define FASTEST(call) \
    ({ \
        double fastest = 1e9, start = now(); \
        for (int i = 0; i < 5 || now() - start < 0.3; i++) { \
            double before = now(); \
            call; \
            double seconds = now() - before; \
            fastest = seconds < fastest ? seconds : fastest; \
        } \
        fastest; \
    })

static void *memory(size_t bytes) {
    uint8_t *address = aligned_alloc(64, llm_round_up(bytes, 64));
    for (size_t i = 0; i < bytes; i++) { address[i] = (uint8_t)(i * 2654435761u >> 24); }
    return address;
}

static volatile uint64_t sink;

static void read_all(const uint64_t *words, size_t count) {
    uint64_t sums[16] = {0};
    for (size_t i = 0; i + 16 <= count; i += 16) {
        for (size_t k = 0; k < 16; k++) { sums[k] ^= words[i + k]; }
    }
    for (size_t k = 0; k < 16; k++) { sink ^= sums[k]; }
}

#if defined(__x86_64__)
#include <immintrin.h>

/// 10 million rounds of 10 independent multiply-adds of eight.
__attribute__((target("avx2,fma"))) static void multiply_floats(void) {
    __m256 sums[10];
    for (int k = 0; k < 10; k++) { sums[k] = _mm256_set1_ps((float)k); }
    __m256 factor = _mm256_set1_ps(0.999f), term = _mm256_set1_ps(0.001f);
    for (int i = 0; i < 1000000; i++) {
        for (int k = 0; k < 10; k++) { sums[k] = _mm256_fmadd_ps(sums[k], factor, term); }
        __asm__ volatile("" : "+x"(factor));
    }
    for (int k = 0; k < 10; k++) { sink ^= (uint64_t)_mm256_cvtss_f32(sums[k]); }
}

/// Rounds of products of 32 bytes in the way of AVX2: four added in 16 bits, then in 32.
__attribute__((target("avx2"))) static void multiply_bytes(void) {
    __m256i sums[2] = {_mm256_setzero_si256(), _mm256_setzero_si256()}, w = _mm256_set1_epi8(3);
    const __m256i one = _mm256_set1_epi16(1);
    for (int i = 0; i < 1000000; i++) {
        for (int s = 0; s < 2; s++) {
            __m256i pairs = _mm256_setzero_si256();
            for (int k = 0; k < 4; k++) {
                __asm__ volatile("" : "+x"(w));
                pairs = _mm256_add_epi16(pairs, _mm256_maddubs_epi16(w, w));
            }
            sums[s] = _mm256_add_epi32(sums[s], _mm256_madd_epi16(pairs, one));
        }
    }
    sink ^= (uint64_t)_mm256_extract_epi64(_mm256_add_epi32(sums[0], sums[1]), 0);
}

__attribute__((target("avx512f,avx512vnni"))) static void multiply_bytes_vnni(void) {
    __m512i sums[8], w = _mm512_set1_epi32(0x03030303);
    for (int k = 0; k < 8; k++) { sums[k] = _mm512_setzero_si512(); }
    for (int i = 0; i < 1000000; i++) {
        for (int k = 0; k < 8; k++) { sums[k] = _mm512_dpbusd_epi32(sums[k], w, w); }
        __asm__ volatile("" : "+v"(w));
    }
    for (int k = 1; k < 8; k++) { sums[0] = _mm512_add_epi32(sums[0], sums[k]); }
    sink ^= (uint64_t)_mm_cvtsi128_si32(_mm512_castsi512_si128(sums[0]));
}

/// Billions of multiply-adds a second.
static double float_ceiling(void) { return 1e6 * 10 * 8 / FASTEST(multiply_floats()) / 1e9; }
static double byte_ceiling(const llm_kernels *kernels) {
    if (kernels == llm_kernels_avx512()) { return 1e6 * 8 * 64 / FASTEST(multiply_bytes_vnni()) / 1e9; }
    return 1e6 * 8 * 32 / FASTEST(multiply_bytes()) / 1e9;
}
#else
static double float_ceiling(void) { return NAN; }
static double byte_ceiling(const llm_kernels *kernels) { return (void)kernels, NAN; }
#endif

typedef struct {
    double bytes, floats, integers;
} ceilings;

static void measure_product(
    const llm_kernels *kernels, llm_encoding encoding, const char *name, size_t rows, ceilings limit) {
    const size_t inputs = 2048, outputs = rows == 1 ? 32768 : 2048, panels = outputs / LLM_PANEL;
    const size_t shared = llm_is_k(encoding) ? 256 : 32, panel = kernels->panel_bytes(encoding, inputs);
    uint8_t *weights = memory(llm_row_bytes(encoding, inputs) * LLM_PANEL),
            *packed = memory(panel * panels);
    for (size_t p = 0; p < panels; p++) {
        kernels->pack_panel(encoding, weights, inputs, LLM_PANEL, packed + p * panel);
    }
    float *x = memory(4 * rows * inputs), *y = memory(4 * rows * outputs);
    for (size_t i = 0; i < rows * inputs; i++) { x[i] = (float)(i * 7919 % 2001) / 1000 - 1; }
    void *form = memory(kernels->quantized_bytes(inputs, rows));
    if (encoding > LLM_BF16) {
        kernels->quantize_rows(x, inputs, rows, inputs, shared, 0, (rows + 15) / 16, form);
    }
    llm_matmul call = {
        .encoding = encoding,
        .weights = packed,
        .inputs = inputs,
        .outputs = outputs,
        .last_panel = panels,
        .x = encoding > LLM_BF16 ? form : x,
        .x_stride = inputs,
        .rows = rows,
        .y = y,
        .y_stride = outputs};
    const double seconds = FASTEST(kernels->matmul(&call)),
                 bytes = (double)(panel * panels) / seconds / 1e9;
    const double products = (double)inputs * (double)outputs * (double)rows / seconds / 1e9;
    const double most = encoding > LLM_BF16 ? limit.integers : limit.floats;
    printf(
        "  %-5s %4zu rows %8.1f GB/s (%3.0f %%) %8.1f G multiply-adds/s (%3.0f %%)\n", name, rows, bytes,
        100 * bytes / limit.bytes, products, 100 * products / most);
    free(weights), free(packed), free(x), free(y), free(form);
}

/// Attention of SmolLM2's shape: three query heads to a key-value head, 64 wide.
static void measure_attention(const llm_kernels *kernels, size_t rows, size_t context, ceilings limit) {
    const size_t width = 64, group = 3;
    float *q = memory(4 * rows * group * width), *y = memory(4 * rows * group * width);
    for (size_t i = 0; i < rows * group * width; i++) { q[i] = (float)(i * 7919 % 2001) / 1000 - 1; }
    uint16_t *cache = memory(2 * context * width);
    for (size_t i = 0; i < context * width; i++) { cache[i] = llm_f16_of_float((float)(i % 17) / 16); }
    int32_t *slots = memory(4 * context);
    for (size_t i = 0; i < context; i++) { slots[i] = (int32_t)i; }
    float *scratch = memory(4 * kernels->attention_scratch(rows * group, width, width));
    llm_attention call = {
        .q = q,
        .q_stride = group * width,
        .rows = rows,
        .first_position = context - rows,
        .window = SIZE_MAX,
        .element = LLM_ELEMENT_F16,
        .keys = cache,
        .values = cache,
        .key_width = width,
        .value_width = width,
        .value_stride = width,
        .group = group,
        .kv_heads = 1, .last_kv_head = 1,
        .slots = slots,
        .last_part = (context + 255) / 256,
        .scale = 0.125f,
        .scratch = scratch,
        .y = y,
        .y_stride = group * width};
    const double seconds = FASTEST(kernels->attend(&call));
    const double pairs = (double)rows * ((double)context - (double)(rows - 1) / 2) * group;
    const double products = 2 * pairs * width / seconds / 1e9;
    const double bytes = (double)(context * width * 4) / seconds / 1e9;
    printf(
        "  attention %4zu rows, %5zu keys %8.1f GB/s (%3.0f %%) %6.1f G multiply-adds/s (%3.0f %%)\n",
        rows, context, bytes, 100 * bytes / limit.bytes, products, 100 * products / limit.floats);
    free(q), free(y), free(cache), free(slots), free(scratch);
}

static void measure(const llm_kernels *kernels, ceilings limit) {
    static const char *names[] = {"F32",  "F16",  "BF16", "Q4_0", "Q4_1", "Q5_0", "Q5_1",
                                  "Q8_0", "Q2_K", "Q3_K", "Q4_K", "Q5_K", "Q6_K"};
    limit.integers = byte_ceiling(kernels);
    printf(
        "%s: %.1f GB/s from memory, %.1f G float32 and %.1f G 8-bit multiply-adds/s at most\n",
        kernels->name, limit.bytes, limit.floats, limit.integers);
    static const size_t rows[] = {1, 8, 256};
    for (int encoding = LLM_F16; encoding <= LLM_Q6_K; encoding++) {
        for (size_t i = 0; i < 3; i++) {
            measure_product(kernels, (llm_encoding)encoding, names[encoding], rows[i], limit);
        }
    }
    measure_attention(kernels, 1, 4096, limit);
    measure_attention(kernels, 16, 512, limit);
}

int main(void) {
    const size_t size = (size_t)256 << 20;
    uint64_t *words = memory(size);
    ceilings limit = {.bytes = (double)size / FASTEST(read_all(words, size / 8)) / 1e9};
    limit.floats = float_ceiling();
    free(words);
    const llm_kernels *tables[] = {llm_kernels_avx512(), llm_kernels_avx2(), llm_kernels_neon()};
    for (size_t i = 0; i < sizeof tables / sizeof *tables; i++) {
        if (tables[i]) { measure(tables[i], limit); }
    }
    return 0;
}
