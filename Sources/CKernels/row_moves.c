/// Passes over rows that compilers vectorise well enough for every instruction set.
#include "kernels.h"
#include "lanes.h"

#pragma STDC FP_CONTRACT OFF

void llm_scalar_soft_cap(float *x, size_t count, float cap) {
    for (size_t i = 0; i < count; i++) { x[i] = llm_soft_cap(x[i], cap); }
}

void llm_scalar_scale_rows(float *x, size_t x_stride, size_t rows, size_t columns, const float *factors) {
    for (size_t row = 0; row < rows; row++, x += x_stride) {
        for (size_t i = 0; i < columns; i++) { x[i] *= factors[row]; }
    }
}

void llm_scalar_scale_columns(float *x, size_t x_stride, size_t rows, size_t columns, const float *factors) {
    for (size_t row = 0; row < rows; row++, x += x_stride) {
        for (size_t i = 0; i < columns; i++) { x[i] *= factors[i]; }
    }
}

void llm_scalar_clamp_rows(
    float *x, size_t x_stride, size_t rows, size_t columns, float least, float most) {
    for (size_t row = 0; row < rows; row++, x += x_stride) {
        for (size_t i = 0; i < columns; i++) { x[i] = x[i] < least ? least : x[i] > most ? most : x[i]; }
    }
}

void llm_scalar_clear_rows(float *x, size_t x_stride, size_t rows, size_t columns) {
    for (size_t row = 0; row < rows; row++) { memset(x + row * x_stride, 0, columns * sizeof *x); }
}

void llm_scalar_gather_rows(
    const float *x, size_t x_stride, const int32_t *sources, size_t rows, size_t columns, float *y,
    size_t y_stride) {
    for (size_t row = 0; row < rows; row++) {
        memcpy(y + row * y_stride, x + (size_t)sources[row] * x_stride, columns * sizeof *y);
    }
}

void llm_scalar_add_scaled_rows(
    const float *x, size_t x_stride, const float *factors, const int32_t *targets, size_t rows,
    size_t columns, float *y, size_t y_stride) {
    for (size_t row = 0; row < rows; row++, x += x_stride) {
        float *sum = y + (size_t)targets[row] * y_stride;
        for (size_t i = 0; i < columns; i++) { sum[i] += factors[row] * x[i]; }
    }
}
