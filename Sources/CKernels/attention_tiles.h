/// Attention by tiles, for each instruction set, which defines:
/// - `load_keys(a, element, head, start, count, out)`: the keys of a block, in an order of its own,
/// - `score_block(rows, a, q, keys, scores)`: scores of some queries with keys so loaded; returns of how many,
/// - `score_eight(element, rows, a, index, q, scores)`: the same with eight keys where the cache has them, of
///   which the widths are a multiple of sixteen; `LLM_SCORE_ROWS(take)` are the numbers of rows,
/// - `load_values(a, element, head, start, count, columns, out)`: its values as rows,
/// - `exponentiate(a, m, element, query, start, span)`: turns a query's scores with a block into weights,
/// - `add_products(element, rows, count, a, b, b_stride, index, sums)`: adds `count` products of some rows with
///   32 columns, where row `i` of `b` begins at `index[i]` or, without an index, at `i * b_stride`,
/// - `LLM_ATTENTION_ROWS(take)`: the numbers of rows whose sums fit registers, most first and one last.

enum { LLM_QUERIES = 8 }; // queries offered at a time

/// As many of the first `rows` rows as registers hold; returns how many.
LLM_TEMPLATE size_t add_some(
    llm_element element, size_t rows, size_t count, const float *const *a, const void *b, size_t b_stride,
    const size_t *index, float *const *sums) {
#define LLM_ADD_ROWS(number)                                                                              \
    if (rows >= number) {                                                                                 \
        add_products(element, number, count, a, b, b_stride, index, sums);                                \
        return number;                                                                                    \
    }
    LLM_ATTENTION_ROWS(LLM_ADD_ROWS)
#undef LLM_ADD_ROWS
    return 0;
}

static size_t multiply_add(
    size_t rows, size_t count, const float *const *a, const float *b, size_t b_stride, float *const *sums) {
    return add_some(LLM_ELEMENT_F32, rows, count, a, b, b_stride, NULL, sums);
}

/// Scores of some of the first `rows` queries with eight keys; returns of how many.
LLM_TEMPLATE size_t score_some(
    llm_element element, size_t rows, const llm_attention *a, const size_t *index, const float *const *q,
    float *const *scores) {
#define LLM_SCORE(number)                                                                                 \
    if (rows >= number) {                                                                                 \
        score_eight(element, number, a, index, q, scores);                                                \
        return number;                                                                                    \
    }
    LLM_SCORE_ROWS(LLM_SCORE)
#undef LLM_SCORE
    return 0;
}

/// Whether so few queries share a block that its keys are better read where they are.
static inline bool reads_keys(const llm_attention *a) {
    return llm_queries_of_head(a) <= LLM_QUERIES && a->key_width % 16 == 0;
}

/// Whether so few queries share a block that its values are better read where they are.
static inline bool reads_cache(const llm_attention *a, const llm_attention_memory *m) {
    return llm_queries_of_head(a) <= LLM_QUERIES && m->columns == a->value_width;
}

/// Scores of queries `first ..< last` with the keys of a block from `start`, of which `count` exist.
LLM_TEMPLATE void score(
    const llm_attention *a, const llm_attention_memory *m, llm_element element, size_t head, size_t start,
    size_t count, size_t first, size_t last) {
    const bool direct = reads_keys(a);
    if (!direct) { load_keys(a, element, head, start, count, m->keys); }
    size_t index[LLM_KEYS];
    for (size_t i = 0; direct && i < LLM_KEYS; i++) {
        // Nobody looks at the scores of those that do not exist.
        index[i] = llm_cached(a, start + llm_smaller(i, count - 1), head, a->key_width);
    }
    for (size_t query = first; query < last;) {
        const float *q[LLM_QUERIES];
        float *scores[LLM_QUERIES];
        const size_t rows = llm_smaller(last - query, LLM_QUERIES);
        size_t taken = 0;
        for (size_t i = 0; i < rows; i++) { q[i] = llm_query(a, query + i); }
        for (size_t key = 0; key < LLM_KEYS; key += direct ? 8 : LLM_KEYS) {
            for (size_t i = 0; i < rows; i++) { scores[i] = m->scores + (query + i) * LLM_KEYS + key; }
            taken = direct ? score_some(element, rows, a, index + key, q, scores)
                           : score_block(rows, a, q, m->keys, scores);
        }
        query += taken;
    }
}

/// Adds the weighted values of a block from `start` to the sums of queries `first ..< last`, which see the
/// same positions.
LLM_TEMPLATE void add_values(
    const llm_attention *a, const llm_attention_memory *m, llm_element element, size_t head, size_t start,
    size_t first, size_t last, llm_span span) {
    const bool direct = reads_cache(a, m);
    const size_t seen = span.last - span.first;
    size_t index[LLM_KEYS];
    for (size_t i = 0; direct && i < seen; i++) {
        index[i] = llm_cached(a, start + span.first + i, head, a->value_stride);
    }
    for (size_t query = first; query < last; query++) {
        if (m->factors[query] == 1.0f) { continue; }
        float *sums = m->sums + query * m->columns;
        const float factor = m->factors[query];
        for (size_t i = 0; i < m->columns; i++) { sums[i] *= factor; }
    }
    const float *values = m->values + span.first * m->columns;
    for (size_t column = 0; column < m->columns; column += 32) {
        for (size_t query = first; query < last;) {
            const float *weights[LLM_QUERIES];
            float *sums[LLM_QUERIES];
            const size_t count = llm_smaller(last - query, LLM_QUERIES);
            for (size_t i = 0; i < count; i++) {
                weights[i] = m->scores + (query + i) * LLM_KEYS + span.first;
                sums[i] = m->sums + (query + i) * m->columns + column;
            }
            if (direct) {
                const uint8_t *cached = (const uint8_t *)a->values + column * llm_element_bytes(element);
                query += add_some(element, count, seen, weights, cached, 0, index, sums);
            } else {
                query += multiply_add(count, seen, weights, values + column, m->columns, sums);
            }
        }
    }
}

/// Takes the block from `start`, of which `count` positions exist, into the part's states of one head's
/// queries, `first ..< last`.
LLM_TEMPLATE void add_block(
    const llm_attention *a, const llm_attention_memory *m, llm_element element, size_t head, size_t start,
    size_t count, size_t first, size_t last) {
    if (element == LLM_ELEMENT_I8) { llm_load_scales(a, m, head, start, count); }
    score(a, m, element, head, start, count, first, last);
    if (!reads_cache(a, m)) { load_values(a, element, head, start, count, m->columns, m->values); }
    for (size_t query = first; query < last;) {
        const llm_span span = llm_seen(a, query, start);
        size_t end = query;
        for (; end < last; end++) {
            llm_span other = llm_seen(a, end, start);
            if (other.first != span.first || other.last != span.last) { break; }
            if (span.first < span.last) { exponentiate(a, m, element, end, start, span); }
        }
        if (span.first < span.last) { add_values(a, m, element, head, start, query, end, span); }
        query = end;
    }
}

/// The same for all heads; each fetches its share of the next block.
LLM_TEMPLATE void add_heads(
    const llm_attention *a, const llm_attention_memory *m, llm_element element, size_t start) {
    const size_t count = llm_smaller(llm_positions_end(a) - start, LLM_KEYS);
    const size_t heads = a->last_kv_head - a->first_kv_head, queries = llm_queries_of_head(a);
    for (size_t i = 0; i < heads; i++) {
        const size_t next = start + LLM_KEYS + i * LLM_KEYS / heads;
        const size_t end = start + LLM_KEYS + (i + 1) * LLM_KEYS / heads;
        llm_prefetch(a, a->keys, a->key_width, next, end);
        llm_prefetch(a, a->values, a->value_stride, next, end);
        add_block(a, m, element, a->first_kv_head + i, start, count, i * queries, (i + 1) * queries);
    }
}

LLM_TEMPLATE void attend(const llm_attention *a, llm_element element) {
    const llm_attention_memory m = llm_lay_out(a);
    llm_begin_totals(a, &m);
    const size_t begin = llm_part_span(a, a->first_part).first;
    llm_prefetch(a, a->keys, a->key_width, begin, begin + LLM_KEYS);
    llm_prefetch(a, a->values, a->value_stride, begin, begin + LLM_KEYS);
    for (size_t part = a->first_part; part < a->last_part; part++) {
        const llm_span span = llm_part_span(a, part);
        llm_begin_part(&m);
        for (size_t start = span.first; start < span.last; start += LLM_KEYS) {
            add_heads(a, &m, element, start);
        }
        llm_end_part(a, &m);
    }
    llm_end_totals(a, &m);
}

static void attend_f32(const llm_attention *a) { attend(a, LLM_ELEMENT_F32); }
static void attend_f16(const llm_attention *a) { attend(a, LLM_ELEMENT_F16); }
static void attend_bf16(const llm_attention *a) { attend(a, LLM_ELEMENT_BF16); }
static void attend_i8(const llm_attention *a) { attend(a, LLM_ELEMENT_I8); }

static void attend_any(const llm_attention *a) {
    switch (a->element) {
    case LLM_ELEMENT_F32: attend_f32(a); break;
    case LLM_ELEMENT_F16: attend_f16(a); break;
    case LLM_ELEMENT_BF16: attend_bf16(a); break;
    case LLM_ELEMENT_I8: attend_i8(a); break;
    }
}
