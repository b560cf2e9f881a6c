// Kernels that are compiled for one width of a head, by name.
#pragma once
#include "cuda_host_shim.h"

int tiles_launch_16(const char *name, cuda_host::Dim g, cuda_host::Dim b, size_t shared, void **arguments);
int tiles_launch_64(const char *name, cuda_host::Dim g, cuda_host::Dim b, size_t shared, void **arguments);
int latent_launch(const char *name, cuda_host::Dim grid, cuda_host::Dim block, size_t shared, void **arguments);
int tiles_launch_scores(const char *name, cuda_host::Dim g, cuda_host::Dim b, size_t shared, void **arguments);
