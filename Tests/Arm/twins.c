/// Compares the kernels for Arm with their scalar twins, bit for bit. A program of its own, so that another
/// machine can run it through an emulator: Scripts/test-arm.sh.
#include <stdio.h>
#include <stdlib.h>

#include "../../Sources/CKernels/attention.h"
#include "../../Sources/CKernels/panels.h"

static uint32_t state = 1;
static int failures = 0, comparisons = 0;

static uint32_t number(void) { return state = state * 1664525u + 1013904223u, state >> 8; }
static float real(void) { return (float)(number() % 20001) / 10000.0f - 1.0f; }

static void *copy_of(size_t bytes, uint8_t fill) {
    void *memory = aligned_alloc(64, llm_round_up(bytes + 64, 64));
    return memset(memory, fill, llm_round_up(bytes + 64, 64));
}

static void same(
    const void *a, const void *b, size_t bytes, const char *what, int kind, size_t size, size_t rows) {
    comparisons++;
    if (memcmp(a, b, bytes) == 0) { return; }
    failures++;
    printf("%s: kind %d, size %zu, %zu rows: results differ\n", what, kind, size, rows);
}

static uint8_t *weights_of(llm_encoding encoding, size_t elements) {
    const size_t size = llm_block_bytes(encoding), blocks = elements / llm_block_elements(encoding);
    uint8_t *bytes = copy_of(blocks * size, 0);
    for (size_t i = 0; i < blocks * size; i++) { bytes[i] = (uint8_t)number(); }
    static const size_t halves[] = {0, 0, 0, 0, 0, 0, 0, 0, 80, 108, 0, 0, 208};
    for (size_t i = 0; i < blocks; i++) {
        uint8_t *block = bytes + i * size;
        const float value = real();
        const uint16_t half = llm_f16_of_float(value / 16), top = llm_bf16_of_float(value);
        if (encoding == LLM_F32) {
            memcpy(block, &value, 4);
        } else {
            memcpy(block + halves[encoding], encoding == LLM_BF16 ? &top : &half, 2);
        }
        if (llm_stores_minimum(encoding)) { memcpy(block + halves[encoding] + 2, &half, 2); }
    }
    return bytes;
}

static void test_products(const llm_kernels *fast, const llm_kernels *scalar, llm_encoding encoding) {
    const size_t unit = llm_block_elements(encoding), shared = unit == 256 ? 256 : 32;
    const size_t sizes[] = {unit, 2 * unit, unit == 1 ? 77 : 3 * unit}, outputs = 37;
    for (size_t s = 0; s < 3; s++) {
        for (size_t rows = 1; rows <= 35; rows += 1 + rows / 8) {
            const size_t inputs = sizes[s], row_bytes = llm_row_bytes(encoding, inputs);
            uint8_t *weights = weights_of(encoding, inputs * outputs);
            const size_t panel = fast->panel_bytes(encoding, inputs);
            uint8_t *packed = copy_of(3 * panel, 1);
            for (size_t p = 0; p < 3; p++) {
                const size_t count = llm_smaller(outputs - 16 * p, 16);
                fast->pack_panel(
                    encoding, weights + 16 * p * row_bytes, inputs, count, packed + p * panel);
            }
            float *x = copy_of(4 * rows * inputs, 0), bias[37];
            for (size_t i = 0; i < rows * inputs; i++) { x[i] = real(); }
            for (size_t i = 0; i < outputs; i++) { bias[i] = real(); }
            void *forms[2] = {x, x};
            const llm_kernels *tables[2] = {fast, scalar};
            float *y[2];
            for (int i = 0; i < 2; i++) {
                if (unit > 1) {
                    forms[i] = copy_of(fast->quantized_bytes(inputs, rows), 2);
                    tables[i]->quantize_rows(x, inputs, rows, inputs, shared, 0, 3, forms[i]);
                }
                y[i] = copy_of(4 * rows * outputs, 3);
                llm_matmul call = {
                    .encoding = encoding,
                    .weights = packed,
                    .inputs = inputs,
                    .outputs = outputs,
                    .first_panel = 0,
                    .last_panel = 3,
                    .x = forms[i],
                    .x_stride = inputs,
                    .rows = rows,
                    .bias = rows % 2 ? bias : NULL,
                    .y = y[i],
                    .y_stride = outputs};
                tables[i]->matmul(&call);
            }
            if (unit > 1) {
                same(
                    forms[0], forms[1], fast->quantized_bytes(inputs, rows), "quantise", encoding, inputs,
                    rows);
                free(forms[0]), free(forms[1]);
            }
            same(y[0], y[1], 4 * rows * outputs, "matmul", encoding, inputs, rows);
            free(weights), free(packed), free(x), free(y[0]), free(y[1]);
        }
    }
}

static void test_attention(
    const llm_kernels *fast, const llm_kernels *scalar, llm_element element, size_t context, size_t rows,
    size_t width, size_t group) {
    float *stored = copy_of(4 * context * 2 * width, 0), *q = copy_of(4 * rows * 2 * group * width, 0);
    for (size_t i = 0; i < context * 2 * width; i++) { stored[i] = real(); }
    for (size_t i = 0; i < rows * 2 * group * width; i++) { q[i] = 2 * real(); }
    int32_t *slots = copy_of(4 * context, 0);
    for (size_t i = 0; i < context; i++) { slots[i] = (int32_t)(i * 7 % context); }
    void *cache = copy_of(4 * context * 2 * width, 0);
    uint16_t *scales = copy_of(2 * context * 2, 0);
    llm_store store = {element, stored, 2 * width, context, 2, width, slots, cache, scales};
    scalar->store_rows(&store);
    const llm_kernels *tables[2] = {fast, scalar};
    float *y[2], *scratch = copy_of(4 * fast->attention_scratch(2 * rows * group, width, width), 0);
    for (int i = 0; i < 2; i++) {
        y[i] = copy_of(4 * rows * 2 * group * width, 4);
        llm_attention call = {
            .q = q,
            .q_stride = 2 * group * width,
            .rows = rows,
            .first_position = context - rows,
            .window = group == 3 ? 50 : SIZE_MAX,
            .element = element,
            .keys = cache,
            .values = cache,
            .key_scales = scales,
            .value_scales = scales,
            .key_width = width,
            .value_width = width,
            .value_stride = width,
            .group = group,
            .kv_heads = 2,
            .first_kv_head = 0, .last_kv_head = 2,
            .slots = slots,
            .first_part = 0,
            .last_part = (context + 255) / 256,
            .scale = 0.3f,
            .has_softcap = group == 2,
            .softcap = 5,
            .scratch = scratch,
            .y = y[i],
            .y_stride = 2 * group * width};
        tables[i]->attend(&call);
    }
    same(y[0], y[1], 4 * rows * 2 * group * width, "attention", (int)element, width, rows);
    free(stored), free(q), free(slots), free(cache), free(scales), free(scratch), free(y[0]), free(y[1]);
}

int main(void) {
    const llm_kernels *fast = llm_kernels_best(), *scalar = llm_kernels_scalar();
    printf("%s against %s\n", fast->name, scalar->name);
    if (fast == scalar) { return 1; }
    for (int encoding = LLM_F32; encoding <= LLM_Q6_K; encoding++) {
        test_products(fast, scalar, (llm_encoding)encoding);
    }
    for (int element = LLM_ELEMENT_F32; element <= LLM_ELEMENT_I8; element++) {
        for (size_t group = 1; group <= 4; group++) {
            test_attention(fast, scalar, (llm_element)element, 1, 1, 8, group);
            test_attention(fast, scalar, (llm_element)element, 300, 5, 20, group);
            test_attention(fast, scalar, (llm_element)element, 70, 33, 64, group);
        }
    }
    printf("%d comparisons, %d failures\n", comparisons, failures);
    return failures > 0;
}
