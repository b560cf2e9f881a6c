#ifndef CIMAGECODECS_H
#define CIMAGECODECS_H

#include <stddef.h>
#include <stdint.h>

/// How reading a PNG ended.
typedef enum {
    LIGHTLLM_PNG_READ = 0,
    LIGHTLLM_PNG_ENDS_EARLY = 1,
    LIGHTLLM_PNG_DAMAGED = 2,
} lightllm_png_result;

/// Decodes the PNG of `count` bytes into `pixels`, 3 * width * height bytes: red, green and blue, row by row.
///
/// Width and height are those of the file's header; a file that says otherwise is damaged. Transparency and colour
/// profiles are ignored, not applied; of 16 bits a sample the upper 8 are kept, but grey samples of 16 bits without
/// transparency are cut off at 255 instead, as Pillow converts them. An animation gives its default image.
lightllm_png_result lightllm_png_rgb(const uint8_t *file, size_t count, uint32_t width, uint32_t height,
                                     uint8_t *pixels);

#endif
