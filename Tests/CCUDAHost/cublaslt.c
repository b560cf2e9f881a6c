#include "CCUDAHost.h"
#include <stdlib.h>
#include <string.h>

// A cuBLASLt whose algorithms are plain loops. Each adds up in an order of its own and takes some numbers of rows:
//   0: term by term, up to 64 rows; 1: the same for 65 and more; 2: from the last term to the first, up to 128 rows;
//   3: the first half and the second, whose boundary depends on the rows.
// Weights of an odd number of outputs have 2 and 3 alone.

struct ccuda_ltmm { int transposes; };
struct ccuda_ltlayout { int type; uint64_t rows, columns; int64_t stride; };
struct ccuda_ltpref { uint32_t reductions; };

static int calls;
int cuda_host_cublaslt_calls(void) { return calls; }

static cublasStatus_t create(cublasLtHandle_t *handle) { *handle = (cublasLtHandle_t)(uintptr_t)1; return 0; }
static cublasStatus_t destroy(cublasLtHandle_t handle) { return 0; }
static cublasStatus_t desc_create(cublasLtMatmulDesc_t *d, int compute, int scale) {
    if (compute != 68 || scale != 0) { return 7; }
    *d = calloc(1, sizeof **d);
    return 0;
}
static cublasStatus_t desc_destroy(cublasLtMatmulDesc_t d) { free(d); return 0; }
static cublasStatus_t desc_set(cublasLtMatmulDesc_t d, int attribute, const void *value, size_t size) {
    if (attribute != 3 || size != 4) { return 7; }
    memcpy(&d->transposes, value, 4);
    return 0;
}
static cublasStatus_t layout_create(cublasLtMatrixLayout_t *l, int type, uint64_t rows, uint64_t columns, int64_t stride) {
    *l = malloc(sizeof **l);
    **l = (struct ccuda_ltlayout){type, rows, columns, stride};
    return 0;
}
static cublasStatus_t layout_destroy(cublasLtMatrixLayout_t l) { free(l); return 0; }
static cublasStatus_t pref_create(cublasLtMatmulPreference_t *p) {
    *p = calloc(1, sizeof **p);
    (*p)->reductions = 7;
    return 0;
}
static cublasStatus_t pref_destroy(cublasLtMatmulPreference_t p) { free(p); return 0; }
static cublasStatus_t pref_set(cublasLtMatmulPreference_t p, int attribute, const void *value, size_t size) {
    if (attribute == 3) { memcpy(&p->reductions, value, 4); }
    return 0;
}

static int takes(uint64_t algorithm, uint64_t rows, uint64_t outputs) {
    switch (algorithm) {
    case 0: return outputs % 2 == 0 && rows <= 64;
    case 1: return outputs % 2 == 0 && rows > 64;
    case 2: return rows <= 128;
    default: return algorithm == 3;
    }
}

static cublasStatus_t heuristic(
    cublasLtHandle_t h, cublasLtMatmulDesc_t d, cublasLtMatrixLayout_t w, cublasLtMatrixLayout_t x,
    cublasLtMatrixLayout_t c, cublasLtMatrixLayout_t y, cublasLtMatmulPreference_t p, int most,
    cublasLtMatmulHeuristicResult_t *out, int *count) {
    *count = 0;
    if (p->reductions) { return 7; }
    for (uint64_t a = 4; a-- > 0 && *count < most;) {
        if (!takes(a, x->columns, w->columns)) { continue; }
        memset(&out[*count], 0, sizeof *out);
        out[*count].algo.data[0] = a;
        ++*count;
    }
    return *count ? 0 : 15;
}

static float number(uint16_t bits, int type) {
    if (type == 14) {
        const uint32_t word = (uint32_t)bits << 16;
        float f;
        memcpy(&f, &word, 4);
        return f;
    }
    _Float16 half;
    memcpy(&half, &bits, 2);
    return (float)half;
}

static float product(const uint16_t *x, const uint16_t *w, int from, int to, int step, int type) {
    float sum = 0;
    for (int k = from; k != to; k += step) { sum += number(x[k], type) * number(w[k], type); }
    return sum;
}

static cublasStatus_t matmul(
    cublasLtHandle_t h, cublasLtMatmulDesc_t d, const void *alpha, const void *a, cublasLtMatrixLayout_t w, const void *b,
    cublasLtMatrixLayout_t x, const void *beta, const void *c, cublasLtMatrixLayout_t cl, void *out, cublasLtMatrixLayout_t y,
    const cublasLtMatmulAlgo_t *algorithm, void *workspace, size_t size, CUstream stream) {
    const uint64_t which = algorithm->data[0];
    const int inputs = (int)w->rows, boundary = inputs / 2 + (int)x->columns % 2;
    if (*(const float *)alpha != 1 || *(const float *)beta != 0 || !d->transposes || y->type != 0) { return 7; }
    if ((uintptr_t)a % 16 || (uintptr_t)b % 16 || (uintptr_t)out % 16) { return 7; }
    if (!takes(which, x->columns, w->columns)) { return 15; }
    calls++;
    for (uint64_t row = 0; row < x->columns; row++) {
        for (uint64_t column = 0; column < w->columns; column++) {
            const uint16_t *from_x = (const uint16_t *)b + row * x->stride, *from_w = (const uint16_t *)a + column * w->stride;
            float *to = (float *)out + row * y->stride + column;
            if (which == 2) { *to = product(from_x, from_w, inputs - 1, -1, -1, w->type); }
            else if (which == 3) {
                *to = product(from_x, from_w, 0, boundary, 1, w->type) + product(from_x, from_w, boundary, inputs, 1, w->type);
            } else { *to = product(from_x, from_w, 0, inputs, 1, w->type); }
        }
    }
    return 0;
}

static size_t version(void) { return 130000; }

void cuda_host_cublaslt(ccuda_cublaslt_api *out) {
    *out = (ccuda_cublaslt_api){
                .getVersion = version, .create = create, .destroy = destroy, .matmulDescCreate = desc_create, .matmulDescDestroy = desc_destroy,
        .matmulDescSet = desc_set, .layoutCreate = layout_create, .layoutDestroy = layout_destroy,
        .prefCreate = pref_create, .prefDestroy = pref_destroy, .prefSet = pref_set, .heuristic = heuristic,
        .matmul = matmul,
    };
}
