#include "kernels.h"
#include "lanes.h"

#pragma STDC FP_CONTRACT OFF

static size_t whole_lanes(size_t count) { return (count + LLM_LANES - 1) / LLM_LANES * LLM_LANES; }

/// `Σ (x - shift)²`; lanes after the end add 0.
static float sum_of_squares(const float *x, size_t count, float shift) {
    float lanes[LLM_LANES] = {0};
    for (size_t i = 0; i < whole_lanes(count); i++) {
        float value = i < count ? x[i] - shift : 0.0f;
        lanes[i % LLM_LANES] = fmaf(value, value, lanes[i % LLM_LANES]);
    }
    return llm_lane_sum(lanes);
}

static float total(const float *x, size_t count) {
    float lanes[LLM_LANES] = {0};
    for (size_t i = 0; i < whole_lanes(count); i++) { lanes[i % LLM_LANES] += i < count ? x[i] : 0.0f; }
    return llm_lane_sum(lanes);
}

static void normalize(const llm_norm *norm, const float *x, float *y, float mean, float inverse) {
    for (size_t i = 0; i < norm->columns; i++) {
        float value = (x[i] - mean) * inverse;
        if (norm->weight) { value = value * norm->weight[i]; }
        y[i] = value;
    }
}

static float inverse_root(float squares, size_t columns, float epsilon) {
    return 1.0f / sqrtf(squares / (float)columns + epsilon);
}

void llm_scalar_rms_norm(const llm_norm *norm) {
    for (size_t row = 0; row < norm->rows; row++) {
        const float *x = norm->x + row * norm->x_stride;
        float squares = sum_of_squares(x, norm->columns, 0);
        float inverse = inverse_root(squares, norm->columns, norm->epsilon);
        normalize(norm, x, norm->y + row * norm->y_stride, 0, inverse);
    }
}

void llm_scalar_add_rms_norm(
    const llm_norm *norm, const float *delta, size_t delta_stride, float *sum, size_t sum_stride) {
    llm_scalar_add(
        norm->x, norm->x_stride, delta, delta_stride, norm->rows, norm->columns, sum, sum_stride);
    llm_norm of_sum = *norm;
    of_sum.x = sum;
    of_sum.x_stride = sum_stride;
    llm_scalar_rms_norm(&of_sum);
}

void llm_scalar_layer_norm(const llm_norm *norm) {
    for (size_t row = 0; row < norm->rows; row++) {
        const float *x = norm->x + row * norm->x_stride;
        float *y = norm->y + row * norm->y_stride;
        float mean = total(x, norm->columns) / (float)norm->columns;
        float squares = sum_of_squares(x, norm->columns, mean);
        normalize(norm, x, y, mean, inverse_root(squares, norm->columns, norm->epsilon));
        for (size_t i = 0; norm->bias && i < norm->columns; i++) { y[i] = y[i] + norm->bias[i]; }
    }
}

void llm_scalar_add(
    const float *a, size_t a_stride, const float *b, size_t b_stride, size_t rows, size_t columns, float *y,
    size_t y_stride) {
    for (size_t row = 0; row < rows; row++) {
        for (size_t i = 0; i < columns; i++) {
            y[row * y_stride + i] = a[row * a_stride + i] + b[row * b_stride + i];
        }
    }
}

void llm_scalar_activate(
    llm_function function, const float *x, size_t x_stride, size_t rows, size_t columns, float *y,
    size_t y_stride) {
    for (size_t row = 0; row < rows; row++) {
        for (size_t i = 0; i < columns; i++) {
            y[row * y_stride + i] = llm_apply(function, x[row * x_stride + i]);
        }
    }
}

void llm_scalar_gated(
    llm_function function, const float *gate, size_t gate_stride, const float *up, size_t up_stride,
    size_t rows, size_t columns, float *y, size_t y_stride) {
    for (size_t row = 0; row < rows; row++) {
        for (size_t i = 0; i < columns; i++) {
            float value = llm_apply(function, gate[row * gate_stride + i]);
            y[row * y_stride + i] = value * up[row * up_stride + i];
        }
    }
}

void llm_scalar_rotate(const llm_rotation *r) {
    size_t step = r->neighbours ? 2 : 1, apart = r->neighbours ? 1 : r->pairs;
    for (size_t row = 0; row < r->rows; row++) {
        const float *cosines = r->cosines + row * r->table_stride;
        const float *sines = r->sines + row * r->table_stride;
        for (size_t head = 0; head < r->heads; head++) {
            float *x = r->x + row * r->x_stride + head * r->head_width + r->first_column;
            for (size_t i = 0; i < r->pairs; i++) {
                float a = x[i * step], b = x[i * step + apart];
                x[i * step] = a * cosines[i] - b * sines[i];
                x[i * step + apart] = b * cosines[i] + a * sines[i];
            }
        }
    }
}
