#include "panels.h"
#include "kernels.h"

/// The 32 integers of block `index` of the 256, or of the one block, that starts at `bytes`.
static void unpack_block(llm_encoding encoding, const uint8_t *bytes, size_t index, uint8_t *w) {
    const uint8_t *q = NULL, *high = NULL;
    uint32_t fifths = 0;
    size_t shift = 0;
    switch (encoding) {
    case LLM_Q4_0: q = ((const llm_q4_0 *)(const void *)bytes)->q; break;
    case LLM_Q4_1: q = ((const llm_q4_1 *)(const void *)bytes)->q; break;
    case LLM_Q5_0:
        q = ((const llm_q5_0 *)(const void *)bytes)->q;
        fifths = llm_load_u32(((const llm_q5_0 *)(const void *)bytes)->high);
        break;
    case LLM_Q5_1:
        q = ((const llm_q5_1 *)(const void *)bytes)->q;
        fifths = llm_load_u32(((const llm_q5_1 *)(const void *)bytes)->high);
        break;
    case LLM_Q2_K:
        q = ((const llm_q2_k *)(const void *)bytes)->q + index / 4 * 32, shift = index % 4 * 2;
        for (int i = 0; i < LLM_BLOCK; i++) { w[i] = q[i] >> shift & 3; }
        return;
    case LLM_Q3_K:
        q = ((const llm_q3_k *)(const void *)bytes)->q + index / 4 * 32, shift = index % 4 * 2;
        high = ((const llm_q3_k *)(const void *)bytes)->high;
        for (int i = 0; i < LLM_BLOCK; i++) {
            w[i] = (uint8_t)((q[i] >> shift & 3) | (high[i] >> index & 1) << 2);
        }
        return;
    case LLM_Q4_K:
        q = ((const llm_q4_k *)(const void *)bytes)->q + index / 2 * 32, shift = index % 2 * 4;
        for (int i = 0; i < LLM_BLOCK; i++) { w[i] = q[i] >> shift & 15; }
        return;
    case LLM_Q5_K:
        q = ((const llm_q5_k *)(const void *)bytes)->q + index / 2 * 32, shift = index % 2 * 4;
        high = ((const llm_q5_k *)(const void *)bytes)->high;
        for (int i = 0; i < LLM_BLOCK; i++) {
            w[i] = (uint8_t)((q[i] >> shift & 15) | (high[i] >> index & 1) << 4);
        }
        return;
    case LLM_Q6_K: {
        q = ((const llm_q6_k *)(const void *)bytes)->q + index / 4 * 64 + index % 2 * 32;
        high = ((const llm_q6_k *)(const void *)bytes)->high + index / 4 * 32;
        size_t nibble = index % 4 / 2 * 4, pair = index % 4 * 2;
        for (int i = 0; i < LLM_BLOCK; i++) {
            w[i] = (uint8_t)((q[i] >> nibble & 15) | (high[i] >> pair & 3) << 4);
        }
        return;
    }
    default: memcpy(w, ((const llm_q8_0 *)(const void *)bytes)->q, LLM_BLOCK); return;
    }
    for (int i = 0; i < 16; i++) {
        w[i] = (uint8_t)((q[i] & 15) | (fifths >> i & 1) << 4);
        w[i + 16] = (uint8_t)(q[i] >> 4 | (fifths >> (i + 16) & 1) << 4);
    }
}

static uint32_t load_word(const void *address) {
    uint32_t word;
    memcpy(&word, address, sizeof word);
    return word;
}

static void or_word(uint8_t *plane, size_t output, uint32_t word) {
    uint32_t whole = load_word(plane + 4 * output) | word;
    memcpy(plane + 4 * output, &whole, sizeof whole);
}

/// Adds output `output` to the planes of a block, which are zero before. Works on four bytes at a time, the
/// inputs of one group.
static void pack_quants(int bits, const uint8_t *w, size_t output, uint8_t *planes) {
    const size_t plane = 4 * LLM_PANEL;
    int done = 0;
    if (bits >= 4 && bits < 8) {
        for (size_t j = 0; j < 4; j++) {
            uint32_t low = load_word(w + 4 * j) & 0x0f0f0f0f,
                     high = load_word(w + 16 + 4 * j) & 0x0f0f0f0f;
            or_word(planes + j * plane, output, low | high << 4);
        }
        planes += 4 * plane;
        done = 4;
    }
    for (size_t group = 0; group < LLM_GROUPS; group++) {
        uint32_t word = load_word(w + 4 * group);
        if (bits == 8) {
            or_word(planes + group * plane, output, word);
            continue;
        }
        int rest = bits - done;
        if (rest >= 2) {
            or_word(planes + group / 4 * plane, output, (word >> done & 0x03030303) << 2 * (group % 4));
        }
        if (rest % 2) {
            uint8_t *ones = planes + (rest >= 2 ? 2 * plane : 0);
            or_word(ones, output, (word >> (bits - 1) & 0x01010101) << group);
        }
    }
}

static void pack_scales(
    llm_encoding encoding, const uint8_t *bytes, size_t index, size_t output, uint8_t *scales) {
    uint8_t *second = scales + LLM_PANEL;
    switch (encoding) {
    case LLM_Q4_1:
    case LLM_Q5_1: memcpy(scales + 2 * LLM_PANEL + 2 * output, bytes + 2, 2); // fall through
    case LLM_Q4_0:
    case LLM_Q5_0:
    case LLM_Q8_0: memcpy(scales + 2 * output, bytes, 2); break;
    case LLM_Q4_K:
    case LLM_Q5_K: {
        const uint8_t *packed =
            ((const llm_q4_k *)(const void *)bytes)->scales; // where LLM_Q5_K has them
        scales[output] = (uint8_t)llm_k_scale(packed, (int)index, false);
        second[output] = (uint8_t)llm_k_scale(packed, (int)index, true);
        break;
    }
    case LLM_Q2_K:
        scales[output] = ((const llm_q2_k *)(const void *)bytes)->scales[2 * index];
        second[output] = ((const llm_q2_k *)(const void *)bytes)->scales[2 * index + 1];
        break;
    case LLM_Q3_K: {
        const uint8_t *packed = ((const llm_q3_k *)(const void *)bytes)->scales;
        scales[output] = (uint8_t)llm_q3_scale(packed, (int)(2 * index));
        second[output] = (uint8_t)llm_q3_scale(packed, (int)(2 * index + 1));
        break;
    }
    case LLM_Q6_K:
        scales[output] = (uint8_t)((const llm_q6_k *)(const void *)bytes)->scales[2 * index];
        second[output] = (uint8_t)((const llm_q6_k *)(const void *)bytes)->scales[2 * index + 1];
        break;
    default: break;
    }
}

static void pack_super(llm_encoding encoding, const uint8_t *bytes, size_t output, uint8_t *supers) {
    const uint8_t *d = bytes, *m = bytes + 2; // LLM_Q4_K, LLM_Q5_K
    if (encoding == LLM_Q2_K) {
        d = ((const llm_q2_k *)(const void *)bytes)->d, m = ((const llm_q2_k *)(const void *)bytes)->m;
    }
    if (encoding == LLM_Q3_K) { d = ((const llm_q3_k *)(const void *)bytes)->d; }
    if (encoding == LLM_Q6_K) { d = ((const llm_q6_k *)(const void *)bytes)->d; }
    memcpy(supers + 2 * output, d, 2);
    if (llm_stores_minimum(encoding)) { memcpy(supers + 2 * LLM_PANEL + 2 * output, m, 2); }
}

static void pack_blocks(
    llm_encoding encoding, const uint8_t *rows, size_t inputs, size_t outputs, uint8_t *panel) {
    const llm_panel_layout layout = llm_layout(encoding, inputs);
    const size_t row_bytes = llm_row_bytes(encoding, inputs), block_bytes = llm_block_bytes(encoding);
    const size_t together = llm_is_k(encoding) ? LLM_CHUNK_BLOCKS : 1;
    for (size_t block = 0; block < layout.blocks; block++) {
        uint8_t *planes = panel + block * layout.quant_bytes;
        uint8_t *scales = panel + layout.scales + block * layout.scale_bytes;
        for (size_t output = 0; output < outputs; output++) {
            const uint8_t *bytes = rows + output * row_bytes + block / together * block_bytes;
            uint8_t w[LLM_BLOCK];
            unpack_block(encoding, bytes, block % together, w);
            pack_quants(llm_weight_bits(encoding), w, output, planes);
            pack_scales(encoding, bytes, block % together, output, scales);
            if (together > 1 && block % together == 0) {
                pack_super(
                    encoding, bytes, output,
                    panel + layout.supers + block / together * layout.super_bytes);
            }
        }
    }
}

static void pack_floats(size_t size, const uint8_t *rows, size_t inputs, size_t outputs, uint8_t *panel) {
    for (size_t output = 0; output < outputs; output++) {
        const uint8_t *row = rows + output * inputs * size;
        for (size_t i = 0; i < inputs; i++) {
            memcpy(panel + (i * LLM_PANEL + output) * size, row + i * size, size);
        }
    }
}

size_t llm_scalar_panel_bytes(llm_encoding encoding, size_t inputs) {
    return llm_panel_bytes(encoding, inputs);
}

void llm_scalar_pack_panel(
    llm_encoding encoding, const void *rows, size_t inputs, size_t outputs, void *panel) {
    memset(panel, 0, llm_panel_bytes(encoding, inputs));
    if (encoding == LLM_F32) {
        pack_floats(4, rows, inputs, outputs, panel);
    } else if (encoding <= LLM_BF16) {
        pack_floats(2, rows, inputs, outputs, panel);
    } else {
        pack_blocks(encoding, rows, inputs, outputs, panel);
    }
}
