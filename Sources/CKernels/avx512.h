/// Vectors of sixteen: one lane for each output of a panel.
#ifndef LLM_AVX512_H
#define LLM_AVX512_H

#include <immintrin.h>

#include "avx2.h"

#define LLM_AVX512_TARGET "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx2,fma,f16c"

#endif
