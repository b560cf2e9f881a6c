/// The frame of a product with plain numbers, for each instruction set. It defines `multiply_rows`, which
/// multiplies some rows with some panels, and `LLM_ROWS_AND_PANELS(take)`, which names the pairs, most rows
/// first and one row last.

/// Rows `first ..< last` times all panels.
LLM_TEMPLATE void multiply_panels(llm_encoding encoding, const llm_matmul *p, size_t first, size_t last) {
    size_t row = first;
#define LLM_MULTIPLY_ROWS(rows, panels) \
    if (row + rows <= last) { \
        const size_t end = last - (last - row) % rows; \
        size_t panel = p->first_panel; \
        for (; panel + panels <= p->last_panel; panel += panels) { \
            for (size_t r = row; r < end; r += rows) { \
                multiply_rows(encoding, rows, panels, r == first, p, panel, r); \
            } \
        } \
        for (; panel < p->last_panel; panel++) { \
            for (size_t r = row; r < end; r += rows) { \
                multiply_rows(encoding, rows, 1, r == first, p, panel, r); \
            } \
        } \
        row = end; \
    }
    LLM_ROWS_AND_PANELS(LLM_MULTIPLY_ROWS)
#undef LLM_MULTIPLY_ROWS
}

LLM_TEMPLATE void multiply(llm_encoding encoding, const llm_matmul *p) {
    const size_t together = llm_rows_together(p->inputs * sizeof(float)) / LLM_TILE * 12;
    for (size_t first = 0; first < p->rows; first += together) {
        multiply_panels(encoding, p, first, llm_smaller(first + together, p->rows));
    }
}

static void multiply_f32(const llm_matmul *p) { multiply(LLM_F32, p); }
static void multiply_f16(const llm_matmul *p) { multiply(LLM_F16, p); }
static void multiply_bf16(const llm_matmul *p) { multiply(LLM_BF16, p); }

/// False when the encoding has blocks.
static bool multiply_floats(const llm_matmul *p) {
    switch (p->encoding) {
    case LLM_F32: multiply_f32(p); return true;
    case LLM_F16: multiply_f16(p); return true;
    case LLM_BF16: multiply_bf16(p); return true;
    default: return false;
    }
}
