/// Sources of the CUDA kernels, embedded so that a binary needs no files beside it.
#ifndef CCUDAKERNELS_H
#define CCUDAKERNELS_H
#include <stddef.h>

typedef struct {
    const char *_Nonnull name;
    const char *_Nonnull text; // ends with a zero
    size_t size;               // without it
} ccudakernels_source;

const ccudakernels_source *_Nonnull ccudakernels_sources(size_t *_Nonnull count);
#endif
