#if defined(__x86_64__)

#include "avx2.h"

#pragma STDC FP_CONTRACT OFF
#pragma clang attribute push(__attribute__((target("avx2,fma,f16c"))), apply_to = function)

static float sum_of_squares(const float *x, size_t count, float shift) {
    __m256 lanes = _mm256_setzero_ps(), shifts = _mm256_set1_ps(shift);
    size_t i = 0;
    for (; i + 8 <= count; i += 8) {
        __m256 value = _mm256_sub_ps(_mm256_loadu_ps(x + i), shifts);
        lanes = _mm256_fmadd_ps(value, value, lanes);
    }
    if (i < count) {
        __m256 value = _mm256_sub_ps(avx2_load(x + i, count - i), shifts);
        value = _mm256_and_ps(value, _mm256_castsi256_ps(avx2_mask(count - i)));
        lanes = _mm256_fmadd_ps(value, value, lanes);
    }
    return avx2_lane_sum(lanes);
}

static float total(const float *x, size_t count) {
    __m256 lanes = _mm256_setzero_ps();
    for (size_t i = 0; i < count; i += 8) { lanes = _mm256_add_ps(lanes, avx2_load(x + i, count - i)); }
    return avx2_lane_sum(lanes);
}

static void normalize(
    const llm_norm *norm, const float *x, const float *bias, float *y, float mean, float inverse) {
    for (size_t i = 0; i < norm->columns; i += 8) {
        size_t count = norm->columns - i;
        __m256 value = _mm256_sub_ps(avx2_load(x + i, count), _mm256_set1_ps(mean));
        value = _mm256_mul_ps(value, _mm256_set1_ps(inverse));
        if (norm->weight) { value = _mm256_mul_ps(value, avx2_load(norm->weight + i, count)); }
        if (bias) { value = _mm256_add_ps(value, avx2_load(bias + i, count)); }
        avx2_store(y + i, count, value);
    }
}

static float inverse_root(float squares, size_t columns, float epsilon) {
    return 1.0f / sqrtf(squares / (float)columns + epsilon);
}

void llm_avx2_rms_norm(const llm_norm *norm) {
    for (size_t row = 0; row < norm->rows; row++) {
        const float *x = norm->x + row * norm->x_stride;
        float squares = sum_of_squares(x, norm->columns, 0);
        float inverse = inverse_root(squares, norm->columns, norm->epsilon);
        normalize(norm, x, NULL, norm->y + row * norm->y_stride, 0, inverse);
    }
}

void llm_avx2_add_rms_norm(
    const llm_norm *norm, const float *delta, size_t delta_stride, float *sum, size_t sum_stride) {
    llm_norm one = *norm;
    one.rows = 1;
    for (size_t row = 0; row < norm->rows; row++) { // row by row: the sum is still in the cache
        float *start = sum + row * sum_stride;
        const float *x = norm->x + row * norm->x_stride;
        llm_avx2_add(x, 0, delta + row * delta_stride, 0, 1, norm->columns, start, 0);
        one.x = start;
        one.y = norm->y + row * norm->y_stride;
        llm_avx2_rms_norm(&one);
    }
}

void llm_avx2_layer_norm(const llm_norm *norm) {
    for (size_t row = 0; row < norm->rows; row++) {
        const float *x = norm->x + row * norm->x_stride;
        float mean = total(x, norm->columns) / (float)norm->columns;
        float squares = sum_of_squares(x, norm->columns, mean);
        float inverse = inverse_root(squares, norm->columns, norm->epsilon);
        normalize(norm, x, norm->bias, norm->y + row * norm->y_stride, mean, inverse);
    }
}

void llm_avx2_add(
    const float *a, size_t a_stride, const float *b, size_t b_stride, size_t rows, size_t columns, float *y,
    size_t y_stride) {
    for (size_t row = 0; row < rows; row++, a += a_stride, b += b_stride, y += y_stride) {
        for (size_t i = 0; i < columns; i += 8) {
            __m256 sum = _mm256_add_ps(avx2_load(a + i, columns - i), avx2_load(b + i, columns - i));
            avx2_store(y + i, columns - i, sum);
        }
    }
}

/// `x / (1 + exp(z))`.
LLM_TEMPLATE __m256 over_one_plus_exp(__m256 x, __m256 z) {
    return _mm256_div_ps(x, _mm256_add_ps(_mm256_set1_ps(1.0f), avx2_exp(z)));
}

/// `llm_apply`.
LLM_TEMPLATE __m256 apply(llm_function function, __m256 x) {
    switch (function) {
    case LLM_SILU: return over_one_plus_exp(x, _mm256_xor_ps(x, _mm256_set1_ps(-0.0f)));
    case LLM_GELU: {
        float values[8];
        _mm256_storeu_ps(values, x);
        for (int i = 0; i < 8; i++) { values[i] = llm_apply(LLM_GELU, values[i]); }
        return _mm256_loadu_ps(values);
    }
    case LLM_GELU_TANH: {
        __m256 cube = _mm256_mul_ps(_mm256_mul_ps(x, x), x);
        __m256 inner = _mm256_fmadd_ps(_mm256_set1_ps(LLM_GELU_CUBIC), cube, x);
        return over_one_plus_exp(x, _mm256_mul_ps(_mm256_set1_ps(LLM_MINUS_TWO_SQRT_2_OVER_PI), inner));
    }
    case LLM_RELU: return _mm256_max_ps(_mm256_setzero_ps(), x);
    case LLM_QUICK_GELU:
        return over_one_plus_exp(x, _mm256_mul_ps(x, _mm256_set1_ps(LLM_MINUS_QUICK_GELU)));
    }
    return x;
}

void llm_avx2_activate(
    llm_function function, const float *x, size_t x_stride, size_t rows, size_t columns, float *y,
    size_t y_stride) {
    for (size_t row = 0; row < rows; row++, x += x_stride, y += y_stride) {
        for (size_t i = 0; i < columns; i += 8) {
            avx2_store(y + i, columns - i, apply(function, avx2_load(x + i, columns - i)));
        }
    }
}

void llm_avx2_gated(
    llm_function function, const float *gate, size_t gate_stride, const float *up, size_t up_stride,
    size_t rows, size_t columns, float *y, size_t y_stride) {
    for (size_t row = 0; row < rows; row++, gate += gate_stride, up += up_stride, y += y_stride) {
        for (size_t i = 0; i < columns; i += 8) {
            __m256 value = apply(function, avx2_load(gate + i, columns - i));
            value = _mm256_mul_ps(value, avx2_load(up + i, columns - i));
            avx2_store(y + i, columns - i, value);
        }
    }
}

static void rotate_halves(float *x, size_t pairs, const float *cosines, const float *sines) {
    for (size_t i = 0; i < pairs; i += 8) {
        size_t count = pairs - i;
        __m256 a = avx2_load(x + i, count), b = avx2_load(x + pairs + i, count);
        __m256 cosine = avx2_load(cosines + i, count), sine = avx2_load(sines + i, count);
        __m256 first = _mm256_sub_ps(_mm256_mul_ps(a, cosine), _mm256_mul_ps(b, sine));
        __m256 second = _mm256_add_ps(_mm256_mul_ps(b, cosine), _mm256_mul_ps(a, sine));
        avx2_store(x + i, count, first);
        avx2_store(x + pairs + i, count, second);
    }
}

static void rotate_neighbours(float *x, size_t pairs, const float *cosines, const float *sines) {
    const __m256i twice = _mm256_setr_epi32(0, 0, 1, 1, 2, 2, 3, 3);
    for (size_t i = 0; i < pairs; i += 4) {
        size_t count = llm_smaller(pairs - i, 4);
        __m256 values = avx2_load(x + 2 * i, 2 * count); // a, b, a, b, ...
        __m256 cosine = _mm256_permutevar8x32_ps(avx2_load(cosines + i, count), twice);
        __m256 sine = _mm256_permutevar8x32_ps(avx2_load(sines + i, count), twice);
        __m256 swapped = _mm256_permute_ps(values, 0xb1);
        __m256 rotated = _mm256_addsub_ps(_mm256_mul_ps(values, cosine), _mm256_mul_ps(swapped, sine));
        avx2_store(x + 2 * i, 2 * count, rotated);
    }
}

void llm_avx2_rotate(const llm_rotation *r) {
    for (size_t row = 0; row < r->rows; row++) {
        const float *cosines = r->cosines + row * r->table_stride;
        const float *sines = r->sines + row * r->table_stride;
        for (size_t head = 0; head < r->heads; head++) {
            float *x = r->x + row * r->x_stride + head * r->head_width + r->first_column;
            if (r->neighbours) {
                rotate_neighbours(x, r->pairs, cosines, sines);
            } else {
                rotate_halves(x, r->pairs, cosines, sines);
            }
        }
    }
}

#pragma clang attribute pop

#else

typedef int llm_avx2_rows_is_empty;

#endif
