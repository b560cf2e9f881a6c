#pragma clang diagnostic ignored "-Wpass-failed"
#define CUDA_HOST_SHIM
#define WIDTH 16
#define SCORES 1
#define NAMES scores
#define TILES_LAUNCH tiles_launch_scores
#include "tiles_width.h"
