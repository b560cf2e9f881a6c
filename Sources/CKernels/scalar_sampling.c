#include "kernels.h"
#include "sampling.h"

#pragma STDC FP_CONTRACT OFF

float llm_scalar_block_maxima(const float *x, size_t count, float *maxima) {
    float all = -INFINITY;
    for (size_t start = 0; start < count; start += LLM_MAXIMA_BLOCK) {
        float largest = -INFINITY;
        for (size_t i = start; i < llm_smaller(start + LLM_MAXIMA_BLOCK, count); i++) {
            largest = x[i] > largest ? x[i] : largest;
        }
        maxima[start / LLM_MAXIMA_BLOCK] = largest;
        all = largest > all ? largest : all;
    }
    return all;
}

float llm_scalar_sum_exp(const float *x, size_t count, float shift, float scale) {
    float lanes[LLM_LANES] = {0};
    for (size_t i = 0; i < count; i++) { lanes[i % LLM_LANES] += llm_power((x[i] - shift) * scale); }
    return llm_lane_sum(lanes);
}

size_t llm_scalar_collect(
    const float *x, size_t count, const float *maxima, float threshold, uint32_t *indices) {
    size_t found = 0;
    for (size_t start = 0; start < count; start += LLM_MAXIMA_BLOCK) {
        if (maxima[start / LLM_MAXIMA_BLOCK] < threshold) { continue; }
        for (size_t i = start; i < llm_smaller(start + LLM_MAXIMA_BLOCK, count); i++) {
            if (x[i] >= threshold) { indices[found++] = (uint32_t)i; }
        }
    }
    return found;
}

// The largest of a row's elements are found without sorting the row. The result is exact, so this one form
// serves every instruction set.

typedef struct candidate {
    float value;
    uint32_t column;
} candidate;

/// Whether `a` comes after `b`: smaller, or equal and further right.
static inline bool follows(candidate a, candidate b) {
    return a.value < b.value || (a.value == b.value && a.column > b.column);
}

static inline candidate at(const llm_largest *l, size_t i) {
    return (candidate){l->values[i], l->columns[i]};
}

static inline void put(const llm_largest *l, size_t i, candidate c) {
    l->values[i] = c.value;
    l->columns[i] = c.column;
}

// A heap with the last candidate on top: each candidate follows those below it.

static void sift_down(const llm_largest *l, size_t count, candidate c) {
    size_t hole = 0;
    for (size_t child = 1; child < count; child = 2 * hole + 1) {
        if (child + 1 < count && follows(at(l, child + 1), at(l, child))) { child++; }
        if (!follows(at(l, child), c)) { break; }
        put(l, hole, at(l, child));
        hole = child;
    }
    put(l, hole, c);
}

static void sift_up(const llm_largest *l, size_t hole, candidate c) {
    for (; hole > 0 && follows(c, at(l, (hole - 1) / 2)); hole = (hole - 1) / 2) {
        put(l, hole, at(l, (hole - 1) / 2));
    }
    put(l, hole, c);
}

/// Heapsort: the last candidate goes to the end, and so on.
static void sort(const llm_largest *l, size_t count) {
    while (count > 1) {
        candidate last = at(l, count - 1);
        put(l, count - 1, at(l, 0));
        count--;
        sift_down(l, count, last);
    }
}

/// The `rank`-th largest of `values`, from 0; reorders them (Hoare 1961).
static float select_ranked(float *values, size_t count, size_t rank) {
    size_t first = 0, last = count - 1;
    while (first < last) {
        float pivot = values[first + (last - first) / 2];
        size_t i = first, j = last;
        for (;;) {
            while (values[i] > pivot) { i++; }
            while (values[j] < pivot) { j--; }
            if (i >= j) { break; }
            float swapped = values[i];
            values[i++] = values[j];
            values[j--] = swapped;
        }
        if (rank <= j) {
            last = j;
        } else {
            first = j + 1;
        }
    }
    return values[rank];
}

size_t llm_scalar_find_largest(const llm_largest *l) {
    size_t blocks = (l->count + LLM_MAXIMA_BLOCK - 1) / LLM_MAXIMA_BLOCK, found = 0;
    if (l->wanted == 0) { return 0; }
    // The largest of each block are elements too, so at least `wanted` elements reach this.
    float threshold = -INFINITY;
    if (l->wanted == 1) {
        for (size_t b = 0; b < blocks; b++) { threshold = l->maxima[b] > threshold ? l->maxima[b] : threshold; }
    } else if (l->wanted < blocks) {
        for (size_t b = 0; b < blocks; b++) { l->scratch[b] = l->maxima[b]; }
        threshold = select_ranked(l->scratch, blocks, l->wanted - 1);
    }
    for (size_t b = 0; b < blocks; b++) {
        if (l->maxima[b] < threshold) { continue; }
        size_t end = llm_smaller((b + 1) * LLM_MAXIMA_BLOCK, l->count);
        for (size_t i = b * LLM_MAXIMA_BLOCK; i < end; i++) {
            candidate c = {l->x[i], (uint32_t)i};
            if (!(c.value >= threshold)) { continue; }
            if (found < l->wanted) {
                sift_up(l, found++, c);
            } else if (follows(at(l, 0), c)) {
                sift_down(l, found, c);
                // Of its equals, only those further left would have come before it.
                threshold = l->values[0];
            }
        }
    }
    sort(l, found);
    return found;
}
