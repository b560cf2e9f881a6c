#pragma clang diagnostic ignored "-Wpass-failed"
#define CUDA_HOST_SHIM
#define WIDTH 16
#define NAMES width_16
#define TILES_LAUNCH tiles_launch_16
#include "tiles_width.h"
