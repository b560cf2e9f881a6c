#pragma clang diagnostic ignored "-Wpass-failed"
#define CUDA_HOST_SHIM
#define WIDTH 64
#define NAMES width_64
#define TILES_LAUNCH tiles_launch_64
#include "tiles_width.h"
