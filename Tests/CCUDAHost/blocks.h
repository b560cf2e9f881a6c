// Products with weights of few bits, by name; in a file of their own, as their helpers have names that gemm.cu uses too.
#pragma once
#include "cuda_host_shim.h"

int blocks_launch(const char *name, cuda_host::Dim g, cuda_host::Dim b, size_t shared, void **arguments);
