#include "CImageCodecs.h"

#include <png.h>
#include <string.h>

// libpng reports errors by longjmp, which must not cross Swift's frames; hence this file.

typedef struct {
    const uint8_t *next;
    size_t left;
    int ends_early;
} png_source;

static void read_bytes(png_structp png, png_bytep into, size_t count) {
    png_source *source = png_get_io_ptr(png);
    if (count > source->left) {
        source->ends_early = 1;
        png_error(png, "the file ends early");
    }
    memcpy(into, source->next, count);
    source->next += count;
    source->left -= count;
}

static void on_error(png_structp png, png_const_charp text) {
    (void)text;
    png_longjmp(png, 1);
}

static void on_warning(png_structp png, png_const_charp text) {
    (void)png;
    (void)text;
}

// Brings every kind of sample to 8 bits of red, green and blue. Grey of 16 bits stays as it is.
static int ask_for_rgb(png_structp png, png_infop info) {
    int type = png_get_color_type(png, info);
    int bits = png_get_bit_depth(png, info);
    if (type == PNG_COLOR_TYPE_GRAY && bits == 16) return 1;
    if (type == PNG_COLOR_TYPE_PALETTE) png_set_palette_to_rgb(png);
    if (type == PNG_COLOR_TYPE_GRAY && bits < 8) png_set_expand_gray_1_2_4_to_8(png);
    if (bits == 16) png_set_strip_16(png);
    png_set_strip_alpha(png);
    if (!(type & PNG_COLOR_MASK_COLOR)) png_set_gray_to_rgb(png);
    return 0;
}

// From the last to the first, so that two bytes are read before three are written over them.
static void widen_grey_16(uint8_t *pixels, size_t count) {
    for (size_t i = count; i-- > 0;) {
        uint8_t value = pixels[2 * i] ? 255 : pixels[2 * i + 1];
        memset(pixels + 3 * i, value, 3);
    }
}

static void read_image(png_structp png, png_infop info, uint32_t width, uint32_t height, uint8_t *pixels) {
    // No text, no profile and nothing else that could be large is unpacked.
    png_set_keep_unknown_chunks(png, PNG_HANDLE_CHUNK_NEVER, NULL, -1);
    png_read_info(png, info);
    if (png_get_image_width(png, info) != width || png_get_image_height(png, info) != height)
        png_error(png, "another size");
    int is_grey_16 = ask_for_rgb(png, info);
    int passes = png_set_interlace_handling(png);
    png_read_update_info(png, info);
    size_t stride = (size_t)width * (is_grey_16 ? 2 : 3);
    if (png_get_rowbytes(png, info) != stride) png_error(png, "another kind of pixel");
    for (int pass = 0; pass < passes; pass++)
        for (size_t row = 0; row < height; row++) png_read_row(png, pixels + row * stride, NULL);
    if (is_grey_16) widen_grey_16(pixels, (size_t)width * height);
}

lightllm_png_result lightllm_png_rgb(const uint8_t *file, size_t count, uint32_t width, uint32_t height,
                                     uint8_t *pixels) {
    png_source source = {file, count, 0};
    png_structp png = png_create_read_struct(PNG_LIBPNG_VER_STRING, NULL, on_error, on_warning);
    if (!png) return LIGHTLLM_PNG_DAMAGED;
    // Neither is changed between setjmp and longjmp.
    png_infop info = png_create_info_struct(png);
    volatile lightllm_png_result result = LIGHTLLM_PNG_DAMAGED;
    if (info && !setjmp(png_jmpbuf(png))) {
        png_set_read_fn(png, &source, read_bytes);
        read_image(png, info, width, height, pixels);
        result = LIGHTLLM_PNG_READ;
    } else if (source.ends_early) {
        result = LIGHTLLM_PNG_ENDS_EARLY;
    }
    png_destroy_read_struct(&png, info ? &info : NULL, NULL);
    return result;
}
