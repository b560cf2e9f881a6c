// Products with the experts of a mixture, or the weights of heads, at once: a source file of their own, as the compiler takes them.
#pragma once
#include "cuda_host_shim.h"

int experts_launch(const char *name, cuda_host::Dim grid, cuda_host::Dim block, size_t shared, void **arguments);
