// Products of groups of warps, by name; in a file of their own, as their helpers have names that gemm.cu uses too.
#pragma once
#include "cuda_host_shim.h"

int groups_launch(const char *name, cuda_host::Dim g, cuda_host::Dim b, size_t shared, void **arguments);
