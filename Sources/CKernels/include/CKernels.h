/// The CPU kernels: one struct of function pointers is the whole surface.
///
/// A kernel holds no policy: it starts no thread, allocates nothing and keeps no state. Callers split the
/// work by rows, outputs or heads. The result bits of a row never depend on the other rows of a call, on how
/// a range was split, or on which table of kernels ran: every table adds up in the same order, with the same
/// exponential.
///
/// Shapes are counted in elements; rows are strided: row `r` of `x` starts at `x + r * x_stride`. No pointer
/// needs more alignment than its type. Where a result may overwrite an argument, the comment says so.
/// NaN and infinities are values like any other; none is undefined behaviour.
#ifndef CKERNELS_H
#define CKERNELS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#pragma clang assume_nonnull begin

/// How a row of a weight matrix lies in memory: plain numbers, or the little-endian blocks of GGUF.
typedef enum llm_encoding {
    LLM_F32,
    LLM_F16,
    LLM_BF16,
    LLM_Q4_0, // 32 elements in 18 bytes: scale * (4 bits - 8)
    LLM_Q4_1, // 32 in 20: scale * 4 bits + minimum
    LLM_Q5_0, // 32 in 22: scale * (5 bits - 16)
    LLM_Q5_1, // 32 in 24: scale * 5 bits + minimum
    LLM_Q8_0, // 32 in 34: scale * signed 8 bits
    LLM_Q2_K, // 256 in 84
    LLM_Q3_K, // 256 in 110
    LLM_Q4_K, // 256 in 144
    LLM_Q5_K, // 256 in 176
    LLM_Q6_K, // 256 in 210
} llm_encoding;

/// How the key-value cache stores one number.
typedef enum llm_element {
    LLM_ELEMENT_F32,
    LLM_ELEMENT_F16,
    LLM_ELEMENT_BF16,
    LLM_ELEMENT_I8, // times the scale of its token and head
} llm_element;

/// A nonlinearity, applied element by element.
typedef enum llm_function {
    LLM_SILU,      // x / (1 + exp(-x))
    LLM_GELU,      // x / 2 * (1 + erf(x / sqrt(2)))
    LLM_GELU_TANH, // x / 2 * (1 + tanh(sqrt(2 / pi) * (x + 0.044715 x³)))
    LLM_RELU,      // max(x, 0)
    LLM_QUICK_GELU, // x / (1 + exp(-1.702 x))
} llm_function;

/// A product of activations with a weight matrix, restricted to some panels of outputs:
/// `y[r][o] = Σ_i x[r][i] * weights[o][i] + bias[o]`.
typedef struct llm_matmul {
    llm_encoding encoding;
    /// Panels as `pack_panel` writes them, one after the other.
    const void *weights;
    /// At least 1; a multiple of 32 (256 for the `_K` encodings) when the encoding has blocks.
    size_t inputs;
    /// Of the whole matrix; panel `p` computes outputs `16p ..< min(16p + 16, outputs)`.
    size_t outputs;
    size_t first_panel;
    size_t last_panel;
    /// float32 rows for LLM_F32, LLM_F16 and LLM_BF16; what `quantize_rows` made for all others.
    const void *x;
    /// Elements from one row of floats to the next.
    size_t x_stride;
    size_t rows;
    /// One number per output.
    const float *_Nullable bias;
    /// Output `o` of row `r` goes to `y[r * y_stride + o]`; other columns stay as they are. To stack
    /// matrices along the outputs, pass `y` plus the number of outputs before this one.
    float *y;
    size_t y_stride;
} llm_matmul;

/// A normalisation of rows. `y` may be `x`.
typedef struct llm_norm {
    const float *x;
    size_t x_stride;
    size_t rows;
    size_t columns;
    /// `columns` numbers; null means ones.
    const float *_Nullable weight;
    /// `columns` numbers; null means zeros. Only `layer_norm` reads it.
    const float *_Nullable bias;
    float epsilon;
    float *y;
    size_t y_stride;
} llm_norm;

/// A rotation, in place, of column pairs of every head (RoFormer, arXiv 2104.09864):
/// `(a, b)` becomes `(a cos - b sin, b cos + a sin)`.
typedef struct llm_rotation {
    /// `rows` of `heads * head_width` elements.
    float *x;
    size_t x_stride;
    size_t rows;
    size_t heads;
    size_t head_width;
    /// The first rotated column of each head; `2 * pairs` columns are rotated.
    size_t first_column;
    size_t pairs;
    /// Pair `i` is columns `first + 2i` and `first + 2i + 1`; otherwise `first + i` and `first + i + pairs`.
    bool neighbours;
    /// One row per row of `x`, one column per pair.
    const float *cosines;
    const float *sines;
    size_t table_stride;
} llm_rotation;

/// Attention of consecutive rows of one sequence over its cached keys and values, for the query heads of some
/// key-value heads: `y = softmax(scale q kᵀ) v`. The first `group` query heads read the first key-value head, the next
/// as many the next one.
///
/// Positions are taken in blocks of 32 with a running maximum (online softmax, arXiv 1805.02867). Every 256
/// positions are a part with a state of its own, and the states are combined in order. So the parts may be
/// computed by different calls, and the result is the same.
typedef struct llm_attention {
    /// `rows` of query heads, `key_width` elements each.
    const float *q;
    size_t q_stride;
    size_t rows;
    /// The position of the first row; row `r` sees positions up to its own.
    size_t first_position;
    /// From the position of a row to that of the next: 1, or 0 when all stand at the sequence's last and see it all.
    size_t row_step;
    /// How many positions a row sees at most; SIZE_MAX means all.
    size_t window;
    llm_element element;
    /// One layer's cache: slot `s` has its keys at element `s * kv_heads * key_width` and its values at
    /// element `s * kv_heads * value_stride`.
    const void *keys;
    const void *values;
    /// For LLM_ELEMENT_I8 the scales, in bfloat16: of head `h` of slot `s` at `s * kv_heads + h`.
    const uint16_t *_Nullable key_scales;
    const uint16_t *_Nullable value_scales;
    /// Columns of one head of q and k.
    size_t key_width;
    /// Columns of one head of v and y.
    size_t value_width;
    /// From one head's values in the cache to the next's: `value_width`, or `key_width` where values are the first columns
    /// of keys.
    size_t value_stride;
    /// Query heads of the call to each key-value head, and which of those of a row is the first.
    size_t group;
    size_t first_query_head;
    /// Of the cache, and those of the call.
    size_t kv_heads;
    size_t first_kv_head;
    size_t last_kv_head;
    /// The slot of every position of the sequence, from position 0.
    const int32_t *slots;
    /// The parts to compute, 256 positions each.
    size_t first_part;
    size_t last_part;
    /// Scores are multiplied by this before the softmax.
    float scale;
    /// Whether scaled scores become `softcap * tanh(score / softcap)`.
    bool has_softcap;
    float softcap;
    /// One for each query head, or null: a score loses this much for each position between query and key.
    const float *_Nullable slopes;
    /// Blocks of this many positions, a multiple of 32; 0 when rows see all blocks. A row sees its own and the
    /// `near_blocks - 1` before; of those before, query head `h` sees block `b` when `b + 1 +
    /// (first_head + h) * head_step` is
    /// a multiple of `block_stride`.
    size_t block_positions;
    size_t near_blocks;
    size_t block_stride;
    size_t head_step;
    size_t first_head;
    /// Room for `attention_scratch` elements.
    float *scratch;
    /// Where the state of a part goes, of one alone; or null when the parts are all there is: then `y` is
    /// written. For each key-value head, each row, each query head: the maximum, the sum, `value_width` sums
    /// of values.
    float *_Nullable state;
    /// `rows` of query heads, `value_width` elements each, of which those of the call are written.
    float *y;
    size_t y_stride;
} llm_attention;

/// Rows of keys or values on their way into the cache of one layer.
typedef struct llm_store {
    llm_element element;
    /// `rows` of `heads * width` numbers.
    const float *x;
    size_t x_stride;
    size_t rows;
    size_t heads;
    size_t width;
    /// Row `r` goes to slot `slots[r]`, which begins at element `slots[r] * heads * width` of `cache`.
    const int32_t *slots;
    void *cache;
    /// As in `llm_attention`.
    uint16_t *_Nullable scales;
} llm_store;

/// How many elements have one maximum in `block_maxima`.
#define LLM_MAXIMA_BLOCK 64

/// A search for the `wanted` largest elements of a row, largest first and the first of equals first. NaNs are
/// passed over.
typedef struct llm_largest {
    const float *x;
    size_t count;
    /// What `block_maxima` wrote for `x`.
    const float *maxima;
    /// At most `count`.
    size_t wanted;
    /// Room for as many elements as there are maxima.
    float *scratch;
    /// Room for `wanted` results.
    float *values;
    uint32_t *columns;
} llm_largest;

/// The kernels of one instruction set. Constant, so threads may share it.
typedef struct __attribute__((swift_attr("@Sendable"))) llm_kernels {
    /// "scalar", "avx2", "avx512" or "neon".
    const char *name;

    /// Decodes `count` elements (whole blocks) of one weight row to float32.
    void (*_Nonnull dequantize_row)(llm_encoding encoding, const void *row, size_t count, float *out);

    /// Bytes of a panel of 16 outputs as `pack_panel` writes it.
    size_t (*_Nonnull panel_bytes)(llm_encoding encoding, size_t inputs);

    /// Rearranges `outputs` rows (1 to 16) of a weight matrix, from `rows` on, into a panel. Missing outputs
    /// become zeros. Nothing is rounded.
    void (*_Nonnull pack_panel)(
        llm_encoding encoding, const void *rows, size_t inputs, size_t outputs, void *panel);

    /// Bytes of `rows` quantised activation rows; `inputs` is a multiple of 32.
    size_t (*_Nonnull quantized_bytes)(size_t inputs, size_t rows);

    /// Quantises activations for `matmul` with a block encoding: int8 numbers, rounded to nearest even,
    /// with a scale of `max|x| / 127` and their sums. `shared` elements have one scale, as many as llama.cpp
    /// takes together: 32 for encodings with blocks of 32, and 256 for the `_K` encodings.
    /// `inputs` is a multiple of `shared`. Of all `rows`, those of tiles `first_tile ..< last_tile`, 16 rows
    /// each, are written. A NaN or an infinity makes its row's products NaN; a group below 1e-30 counts as
    /// zero.
    void (*_Nonnull quantize_rows)(
        const float *x, size_t x_stride, size_t rows, size_t inputs, size_t shared, size_t first_tile,
        size_t last_tile, void *out);

    /// Multiplies activations by a weight matrix. Sums are float32; block encodings multiply in integers.
    void (*_Nonnull matmul)(const llm_matmul *product);

    /// `y = x / sqrt(mean(x²) + epsilon) * weight` per row (arXiv 1910.07467).
    void (*_Nonnull rms_norm)(const llm_norm *norm);

    /// `sum = x + delta`, `y = rms_norm(sum)`, bit for bit as `add` and `rms_norm` would. `sum` may be `x`
    /// or `delta`, not `y`.
    void (*_Nonnull add_rms_norm)(
        const llm_norm *norm, const float *delta, size_t delta_stride, float *sum, size_t sum_stride);

    /// `y = (x - mean(x)) / sqrt(variance(x) + epsilon) * weight + bias` per row (arXiv 1607.06450).
    void (*_Nonnull layer_norm)(const llm_norm *norm);

    /// `y = a + b`; `y` may be either.
    void (*_Nonnull add)(
        const float *a, size_t a_stride, const float *b, size_t b_stride, size_t rows, size_t columns,
        float *y, size_t y_stride);

    /// `y = function(x)`; `y` may be `x`.
    void (*_Nonnull activate)(
        llm_function function, const float *x, size_t x_stride, size_t rows, size_t columns, float *y,
        size_t y_stride);

    /// `y = function(gate) * up`; `y` may be either.
    void (*_Nonnull gated)(
        llm_function function, const float *gate, size_t gate_stride, const float *up, size_t up_stride,
        size_t rows, size_t columns, float *y, size_t y_stride);

    /// `x` becomes `cap * tanh(x / cap)`.
    void (*_Nonnull soft_cap)(float *x, size_t count, float cap);

    /// Multiplies row `r` by `factors[r]`.
    void (*_Nonnull scale_rows)(
        float *x, size_t x_stride, size_t rows, size_t columns, const float *factors);

    /// Multiplies column `c` by `factors[c]`.
    void (*_Nonnull scale_columns)(
        float *x, size_t x_stride, size_t rows, size_t columns, const float *factors);

    /// Bounds every element from below and from above.
    void (*_Nonnull clamp_rows)(
        float *x, size_t x_stride, size_t rows, size_t columns, float least, float most);

    void (*_Nonnull clear_rows)(float *x, size_t x_stride, size_t rows, size_t columns);

    /// Row `r` of `y` becomes row `sources[r]` of `x`.
    void (*_Nonnull gather_rows)(
        const float *x, size_t x_stride, const int32_t *sources, size_t rows, size_t columns, float *y,
        size_t y_stride);

    /// Adds `factors[r]` times row `r` of `x` to row `targets[r]` of `y`.
    void (*_Nonnull add_scaled_rows)(
        const float *x, size_t x_stride, const float *factors, const int32_t *targets, size_t rows,
        size_t columns, float *y, size_t y_stride);

    void (*_Nonnull rotate)(const llm_rotation *rotation);

    /// Writes rows to their slots, rounding to nearest even. The scale of a token's head in int8 is
    /// `max|x| / 127` in bfloat16; where that is below 1e-30 the head counts as zero, and a NaN or an infinity
    /// makes all of it NaN.
    void (*_Nonnull store_rows)(const llm_store *store);

    /// Turns every head of `x`, in place, by the same orthogonal matrix: a Hadamard matrix on each group of as
    /// many columns as the largest power of two that divides `width` (at most 256). Products of a query and a
    /// key stay what they are, and no column stands out that would set the scale of its head.
    void (*_Nonnull spread_heads)(float *x, size_t x_stride, size_t rows, size_t heads, size_t width);

    /// Elements of scratch memory that `attend` needs for `queries` pairs of a row and a query head.
    size_t (*_Nonnull attention_scratch)(size_t queries, size_t key_width, size_t value_width);

    /// The result of a row depends on its query and on the keys and values it sees alone.
    void (*_Nonnull attend)(const llm_attention *attention);

    /// Combines the states of `count` consecutive parts, `stride` elements apart from `state` on, and writes
    /// `y`.
    void (*_Nonnull combine)(const llm_attention *attention, size_t count, size_t stride);

    /// The largest of every `LLM_MAXIMA_BLOCK` elements, and of all; NaNs are passed over, minus infinity
    /// when nothing else is there.
    float (*_Nonnull block_maxima)(const float *x, size_t count, float *maxima);

    /// `Σ exp((x - shift) * scale)`, where no element is larger than `shift`; terms are at least 4e-38.
    float (*_Nonnull sum_exp)(const float *x, size_t count, float shift, float scale);

    /// Writes the indices of the elements that are at least `threshold`, ascending, and returns how many there
    /// are. `maxima` is what `block_maxima` wrote for `x`.
    size_t (*_Nonnull collect)(
        const float *x, size_t count, const float *maxima, float threshold, uint32_t *indices);

    /// Returns how many were found: `wanted`, or fewer where NaNs left fewer.
    size_t (*_Nonnull find_largest)(const llm_largest *search);
} llm_kernels;

/// Portable kernels.
const llm_kernels *llm_kernels_scalar(void);
/// Kernels for x86-64 with AVX2, FMA and F16C; null where the processor lacks one of them.
const llm_kernels *_Nullable llm_kernels_avx2(void);
/// Kernels for x86-64 with AVX-512 and VNNI; null where the processor lacks them.
const llm_kernels *_Nullable llm_kernels_avx512(void);
/// Kernels for 64-bit Arm with the dot product instructions; null where the processor lacks them.
const llm_kernels *_Nullable llm_kernels_neon(void);
/// The fastest kernels that the processor runs.
const llm_kernels *llm_kernels_best(void);

/// Kernels that compute nothing and touch no memory, for working out how much memory a model takes without
/// reading its weights.
const llm_kernels *llm_kernels_idle(void);

/// Tells the processor that this thread spins.
static inline void llm_pause(void) {
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

#pragma clang assume_nonnull end

#endif
