/// Kernels that compute nothing and touch no memory, for working out how much memory a model takes without
/// reading its weights.
#include "kernels.h"

static void dequantize_row(llm_encoding encoding, const void *row, size_t count, float *out) {}

static void pack_panel(
    llm_encoding encoding, const void *rows, size_t inputs, size_t outputs, void *panel) {}

static void quantize_rows(
    const float *x, size_t x_stride, size_t rows, size_t inputs, size_t shared, size_t first_tile,
    size_t last_tile, void *out) {}

static void matmul(const llm_matmul *product) {}

static void norm(const llm_norm *norm) {}

static void add_rms_norm(
    const llm_norm *norm, const float *delta, size_t delta_stride, float *sum, size_t sum_stride) {}

static void add(
    const float *a, size_t a_stride, const float *b, size_t b_stride, size_t rows, size_t columns, float *y,
    size_t y_stride) {}

static void activate(
    llm_function function, const float *x, size_t x_stride, size_t rows, size_t columns, float *y,
    size_t y_stride) {}

static void gated(
    llm_function function, const float *gate, size_t gate_stride, const float *up, size_t up_stride,
    size_t rows, size_t columns, float *y, size_t y_stride) {}

static void soft_cap(float *x, size_t count, float cap) {}

static void scale_rows(float *x, size_t x_stride, size_t rows, size_t columns, const float *factors) {}

static void scale_columns(float *x, size_t x_stride, size_t rows, size_t columns, const float *factors) {}

static void clamp_rows(float *x, size_t x_stride, size_t rows, size_t columns, float least, float most) {}

static void clear_rows(float *x, size_t x_stride, size_t rows, size_t columns) {}

static void gather_rows(
    const float *x, size_t x_stride, const int32_t *sources, size_t rows, size_t columns, float *y,
    size_t y_stride) {}

static void add_scaled_rows(
    const float *x, size_t x_stride, const float *factors, const int32_t *targets, size_t rows,
    size_t columns, float *y, size_t y_stride) {}

static void rotate(const llm_rotation *rotation) {}

static void store_rows(const llm_store *store) {}

static void spread_heads(float *x, size_t x_stride, size_t rows, size_t heads, size_t width) {}

static void attend(const llm_attention *attention) {}

static void combine(const llm_attention *attention, size_t count, size_t stride) {}

static float block_maxima(const float *x, size_t count, float *maxima) { return 0; }

static float sum_exp(const float *x, size_t count, float shift, float scale) { return 0; }

static size_t collect(
    const float *x, size_t count, const float *maxima, float threshold, uint32_t *indices) {
    return 0;
}

static size_t find_largest(const llm_largest *search) { return 0; }

const llm_kernels *llm_kernels_idle(void) {
    static const llm_kernels kernels = {
        .name = "idle",
        .dequantize_row = dequantize_row,
        .panel_bytes = llm_scalar_panel_bytes,
        .pack_panel = pack_panel,
        .quantized_bytes = llm_scalar_quantized_bytes,
        .quantize_rows = quantize_rows,
        .matmul = matmul,
        .rms_norm = norm,
        .add_rms_norm = add_rms_norm,
        .layer_norm = norm,
        .add = add,
        .activate = activate,
        .gated = gated,
        .soft_cap = soft_cap,
        .scale_rows = scale_rows,
        .scale_columns = scale_columns,
        .clamp_rows = clamp_rows,
        .clear_rows = clear_rows,
        .gather_rows = gather_rows,
        .add_scaled_rows = add_scaled_rows,
        .rotate = rotate,
        .store_rows = store_rows,
        .spread_heads = spread_heads,
        .attention_scratch = llm_scalar_attention_scratch,
        .attend = attend,
        .combine = combine,
        .block_maxima = block_maxima,
        .sum_exp = sum_exp,
        .collect = collect,
        .find_largest = find_largest,
    };
    return &kernels;
}
