/// The frame of a product with blocks: for each instruction set, which defines `multiply_tile`, and for each
/// encoding an instance.

/// `multiply_tile` multiplies one panel with one tile, of which it is given the first row, and is told
/// whether it is the first to meet the panel.
LLM_TEMPLATE void multiply(llm_encoding encoding, const llm_matmul *p) {
    const llm_panel_layout layout = llm_layout(encoding, p->inputs);
    const size_t together = llm_rows_together(layout.blocks * LLM_ROW_BLOCK);
    for (size_t first = 0; first < p->rows; first += together) {
        const size_t last = llm_smaller(first + together, p->rows);
        for (size_t panel = p->first_panel; panel < p->last_panel; panel++) {
            for (size_t start = first; start < last; start += LLM_TILE) {
                multiply_tile(encoding, start == first, p, &layout, panel, start);
            }
        }
    }
}

#define LLM_MULTIPLY(encoding) \
    static __attribute__((noinline)) void multiply_##encoding(const llm_matmul *p) { \
        multiply(encoding, p); \
    }

LLM_MULTIPLY(LLM_Q4_0)
LLM_MULTIPLY(LLM_Q4_1)
LLM_MULTIPLY(LLM_Q5_0)
LLM_MULTIPLY(LLM_Q5_1)
LLM_MULTIPLY(LLM_Q8_0)
LLM_MULTIPLY(LLM_Q2_K)
LLM_MULTIPLY(LLM_Q3_K)
LLM_MULTIPLY(LLM_Q4_K)
LLM_MULTIPLY(LLM_Q5_K)
LLM_MULTIPLY(LLM_Q6_K)

static void multiply_blocks(const llm_matmul *p) {
    switch (p->encoding) {
    case LLM_F32:
    case LLM_F16:
    case LLM_BF16: break; // not blocks
    case LLM_Q4_0: multiply_LLM_Q4_0(p); break;
    case LLM_Q4_1: multiply_LLM_Q4_1(p); break;
    case LLM_Q5_0: multiply_LLM_Q5_0(p); break;
    case LLM_Q5_1: multiply_LLM_Q5_1(p); break;
    case LLM_Q8_0: multiply_LLM_Q8_0(p); break;
    case LLM_Q2_K: multiply_LLM_Q2_K(p); break;
    case LLM_Q3_K: multiply_LLM_Q3_K(p); break;
    case LLM_Q4_K: multiply_LLM_Q4_K(p); break;
    case LLM_Q5_K: multiply_LLM_Q5_K(p); break;
    case LLM_Q6_K: multiply_LLM_Q6_K(p); break;
    }
}
