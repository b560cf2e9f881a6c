/// The kernels behind the tables, one prefix per instruction set.
#ifndef LLM_KERNELS_H
#define LLM_KERNELS_H

#include "include/CKernels.h"

#pragma clang assume_nonnull begin

#define LLM_DECLARE_KERNELS(prefix)                                                                       \
    void prefix##_quantize_rows(                                                                          \
        const float *x, size_t x_stride, size_t rows, size_t inputs, size_t shared, size_t first_tile,    \
        size_t last_tile, void *out);                                                                     \
    void prefix##_matmul(const llm_matmul *product);                                                      \
    void prefix##_rms_norm(const llm_norm *norm);                                                         \
    void prefix##_add_rms_norm(                                                                           \
        const llm_norm *norm, const float *delta, size_t delta_stride, float *sum, size_t sum_stride);    \
    void prefix##_layer_norm(const llm_norm *norm);                                                       \
    void prefix##_add(                                                                                    \
        const float *a, size_t a_stride, const float *b, size_t b_stride, size_t rows, size_t columns,    \
        float *y, size_t y_stride);                                                                       \
    void prefix##_activate(                                                                               \
        llm_function function, const float *x, size_t x_stride, size_t rows, size_t columns, float *y,    \
        size_t y_stride);                                                                                 \
    void prefix##_gated(                                                                                  \
        llm_function function, const float *gate, size_t gate_stride, const float *up, size_t up_stride,  \
        size_t rows, size_t columns, float *y, size_t y_stride);                                          \
    void prefix##_rotate(const llm_rotation *rotation);                                                   \
    void prefix##_store_rows(const llm_store *store);                                                     \
    void prefix##_attend(const llm_attention *attention);                                                 \
    float prefix##_block_maxima(const float *x, size_t count, float *maxima);                             \
    float prefix##_sum_exp(const float *x, size_t count, float shift, float scale);                       \
    size_t prefix##_collect(                                                                              \
        const float *x, size_t count, const float *maxima, float threshold, uint32_t *indices)

LLM_DECLARE_KERNELS(llm_scalar);
LLM_DECLARE_KERNELS(llm_avx2);

void llm_scalar_dequantize_row(llm_encoding encoding, const void *row, size_t count, float *out);
size_t llm_scalar_panel_bytes(llm_encoding encoding, size_t inputs);
void llm_scalar_pack_panel(
    llm_encoding encoding, const void *rows, size_t inputs, size_t outputs, void *panel);
void llm_scalar_soft_cap(float *x, size_t count, float cap);
void llm_scalar_scale_columns(float *x, size_t x_stride, size_t rows, size_t columns, const float *factors);
void llm_scalar_scale_rows(float *x, size_t x_stride, size_t rows, size_t columns, const float *factors);
void llm_scalar_clamp_rows(
    float *x, size_t x_stride, size_t rows, size_t columns, float least, float most);
void llm_scalar_clear_rows(float *x, size_t x_stride, size_t rows, size_t columns);
void llm_scalar_gather_rows(
    const float *x, size_t x_stride, const int32_t *sources, size_t rows, size_t columns, float *y,
    size_t y_stride);
void llm_scalar_add_scaled_rows(
    const float *x, size_t x_stride, const float *factors, const int32_t *targets, size_t rows,
    size_t columns, float *y, size_t y_stride);
size_t llm_scalar_quantized_bytes(size_t inputs, size_t rows);

void llm_neon_quantize_rows(
    const float *x, size_t x_stride, size_t rows, size_t inputs, size_t shared, size_t first_tile,
    size_t last_tile, void *out);
void llm_neon_matmul(const llm_matmul *product);
void llm_neon_attend(const llm_attention *attention);
void llm_avx512_matmul(const llm_matmul *product);
void llm_avx512_attend(const llm_attention *attention);
void llm_scalar_spread_heads(float *x, size_t x_stride, size_t rows, size_t heads, size_t width);
size_t llm_scalar_attention_scratch(size_t queries, size_t key_width, size_t value_width);
void llm_scalar_combine(const llm_attention *attention, size_t count, size_t stride);
size_t llm_scalar_find_largest(const llm_largest *search);

/// `matmul` for an encoding with blocks.
void llm_avx2_matmul_blocks(const llm_matmul *product);
void llm_avx512_matmul_blocks(const llm_matmul *product);
void llm_neon_matmul_blocks(const llm_matmul *product);

#pragma clang assume_nonnull end

#endif
