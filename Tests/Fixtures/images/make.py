#!/usr/bin/env python3
"""Makes the images of this directory and, with Pillow, what they decode to.

Needs: pip install pillow==13.0.0 numpy, and TurboJPEG's library for the kinds of JPEG that Pillow does not write.
(Before version 13, Pillow always resized rows before columns, and so rounds some images differently.)
images.json lists the images: width, height, and where the width * height * 3 bytes expected of it begin in pixels.rgb.
resized.json holds checksums of resized images, whose sources the tests make by the rule of `pattern`.
"""
import ctypes
import ctypes.util
import io
import json
import pathlib
import struct
import zlib

import numpy as np
from PIL import Image, ImageOps

HERE = pathlib.Path(__file__).parent
RNG = np.random.default_rng(8)
FILES = {}


def picture(width=37, height=23, channels=3):
    """Waves and some noise, so that neither chroma nor edges are flat."""
    y, x = np.mgrid[0:height, 0:width]
    planes = [
        128 + 90 * np.sin(x / (2.5 + c) + c) * np.cos(y / (3.5 - 0.4 * c)) + RNG.normal(0, 14, (height, width))
        for c in range(channels)
    ]
    return np.clip(np.stack(planes, -1), 0, 255).astype(np.uint8)


def keep(name, data):
    FILES[name] = data


def saved(image, kind, **options):
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


def exif_block(orientation, order=">"):
    # Directory of two entries; a SHORT lies in the first two bytes of its value.
    head = (b"MM\0*" if order == ">" else b"II*\0") + struct.pack(order + "IH", 8, 2)
    width = struct.pack(order + "HHII", 0x0100, 4, 1, 37)
    turn = struct.pack(order + "HHIHH", 0x0112, 3, 1, orientation, 0)
    return head + width + turn + struct.pack(order + "I", 0)


XMP = (b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:Description xmlns:tiff="http://ns.adobe.com/tiff/1.0/" '
       b'tiff:Orientation="6"/></x:xmpmeta>')
XMP_ELEMENT = b"<x:xmpmeta><tiff:Orientation>8</tiff:Orientation></x:xmpmeta>"


# PNG ------------------------------------------------------------------------------------------------------------

def chunk(name, data):
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def packed_rows(samples, bits, per_pixel):
    """Filtered rows: every filter in turn."""
    height, width = samples.shape[:2]
    if bits == 16:
        rows = samples.astype(">u2").reshape(height, -1).view(np.uint8)
    elif bits == 8:
        rows = samples.astype(np.uint8).reshape(height, -1)
    else:
        flat = samples.astype(np.uint8).reshape(height, -1)
        each = 8 // bits
        flat = np.pad(flat, ((0, 0), (0, -flat.shape[1] % each)))
        rows = sum(flat[:, i::each] << (8 - bits * (i + 1)) for i in range(each)).astype(np.uint8)
    step = max(1, bits * per_pixel // 8)
    out = b""
    before = np.zeros(rows.shape[1], int)
    for y, row in enumerate(rows.astype(int)):
        left = np.concatenate([np.zeros(step, int), row])[:len(row)]
        corner = np.concatenate([np.zeros(step, int), before])[:len(row)]
        p = left + before - corner
        pa, pb, pc = abs(p - left), abs(p - before), abs(p - corner)
        paeth = np.where((pa <= pb) & (pa <= pc), left, np.where(pb <= pc, before, corner))
        guess = [0, left, before, (left + before) // 2, paeth][y % 5]
        out += bytes([y % 5]) + ((row - guess) % 256).astype(np.uint8).tobytes()
        before = row
    return out


def png(samples, bits, color, interlaced=False, before=b"", after=b"", idat=None):
    height, width = samples.shape[:2]
    per_pixel = 1 if samples.ndim == 2 else samples.shape[2]
    passes = [(0, 0, 1, 1)]
    if interlaced:
        passes = [(0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2)]
    rows = b""
    for x, y, dx, dy in passes:
        part = samples[y::dy, x::dx]
        if part.size:
            rows += packed_rows(part, bits, per_pixel)
    data = zlib.compress(rows, 9)
    step = idat or len(data)
    parts = b"".join(chunk(b"IDAT", data[i:i + step]) for i in range(0, len(data), step))
    header = struct.pack(">IIBBBBB", width, height, bits, color, 0, 0, int(interlaced))
    return (b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + before + parts + after + chunk(b"IEND", b""))


def make_png():
    for interlaced in (False, True):
        mark = "_interlaced" if interlaced else ""
        for bits in (1, 2, 4, 8, 16):
            grey = RNG.integers(0, 1 << bits, (23, 37))
            if bits == 16:
                grey[::3] //= 300
            keep(f"grey{bits}{mark}.png", png(grey, bits, 0, interlaced))
        for bits in (1, 2, 4, 8):
            colors = chunk(b"PLTE", RNG.integers(0, 256, 3 << bits, dtype=np.uint8).tobytes())
            alpha = chunk(b"tRNS", RNG.integers(0, 256, (1 << bits) - 1, dtype=np.uint8).tobytes())
            keep(f"palette{bits}{mark}.png",
                 png(RNG.integers(0, 1 << bits, (23, 37)), bits, 3, interlaced, colors + alpha))
        for bits in (8, 16):
            wide = lambda n: RNG.integers(0, 1 << bits, (23, 37, n))
            keep(f"rgb{bits}{mark}.png", png(wide(3), bits, 2, interlaced))
            keep(f"rgba{bits}{mark}.png", png(wide(4), bits, 6, interlaced))
            keep(f"grey_alpha{bits}{mark}.png", png(wide(2), bits, 4, interlaced))
    for width, height in [(1, 1), (2, 3), (1, 9), (9, 1), (5, 5)]:
        keep(f"interlaced_{width}x{height}.png", png(RNG.integers(0, 256, (height, width, 3)), 8, 2, True))
    rgb = picture()
    keep("no_palette_alpha.png", png(RNG.integers(0, 200, (23, 37)), 8, 3, False,
                                     chunk(b"PLTE", RNG.integers(0, 256, 600, dtype=np.uint8).tobytes())))
    keep("color_key.png", png(rgb, 8, 2, False, chunk(b"tRNS", struct.pack(">HHH", *map(int, rgb[0, 0])))))
    keep("grey_key.png", png(rgb[..., 0], 8, 0, False, chunk(b"tRNS", struct.pack(">H", int(rgb[0, 0, 0])))))
    keep("gamma.png", png(rgb, 8, 2, False, chunk(b"gAMA", struct.pack(">I", 100000))))
    keep("background.png", png(picture(channels=4), 8, 6, False, chunk(b"bKGD", struct.pack(">HHH", 255, 0, 9))))
    keep("profile.png", png(rgb, 8, 2, False, chunk(b"iCCP", b"odd\0\0" + zlib.compress(b"no profile" * 20))))
    keep("small_parts.png", png(rgb, 8, 2, idat=7))
    for turn in (3, 6):
        keep(f"turned{turn}.png", png(rgb, 8, 2, False, chunk(b"eXIf", exif_block(turn))))
    keep("turned_late.png", png(rgb, 8, 2, after=chunk(b"eXIf", exif_block(8, "<"))))
    keep("turned_xmp.png", png(rgb, 8, 2, False, chunk(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + XMP)))
    frames = [Image.fromarray(picture()) for _ in range(3)]
    keep("animated.png", saved(frames[0], "PNG", save_all=True, append_images=frames[1:]))
    keep("animated_after.png", saved(frames[0], "PNG", save_all=True, append_images=frames[1:], default_image=True))


# JPEG -----------------------------------------------------------------------------------------------------------

class TurboJPEG:
    def __init__(self):
        self.lib = ctypes.CDLL(ctypes.util.find_library("turbojpeg"))
        self.lib.tjInitCompress.restype = ctypes.c_void_p

    def compress(self, samples, form, sampling):
        height, width = samples.shape[:2]
        out, size = ctypes.c_void_p(), ctypes.c_ulong()
        handle = ctypes.c_void_p(self.lib.tjInitCompress())
        data = np.ascontiguousarray(samples).tobytes()
        assert self.lib.tjCompress2(handle, data, width, 0, height, form, ctypes.byref(out), ctypes.byref(size),
                                    sampling, 85, 0) == 0
        return ctypes.string_at(out, size.value)


def with_segment(data, marker, content):
    return data[:2] + b"\xff" + bytes([marker]) + struct.pack(">H", len(content) + 2) + content + data[2:]


def make_jpeg():
    rgb = Image.fromarray(picture())
    for name, sampling in [("444", 0), ("422", 1), ("420", 2)]:
        keep(f"color{name}.jpg", saved(rgb, "JPEG", quality=88, subsampling=sampling))
        keep(f"progressive{name}.jpg", saved(rgb, "JPEG", quality=88, subsampling=sampling, progressive=True))
    turbo = TurboJPEG()
    for name, sampling in [("440", 4), ("411", 5)]:
        keep(f"color{name}.jpg", turbo.compress(picture(), 0, sampling))
    keep("grey.jpg", saved(rgb.convert("L"), "JPEG", quality=88))
    keep("grey_progressive.jpg", saved(rgb.convert("L"), "JPEG", quality=88, progressive=True))
    keep("unconverted_rgb.jpg", saved(rgb, "JPEG", quality=88, keep_rgb=True))
    keep("restarts.jpg", saved(rgb, "JPEG", quality=88, restart_marker_blocks=2))
    keep("low_quality.jpg", saved(rgb, "JPEG", quality=3, progressive=True))
    cmyk = Image.fromarray(picture(channels=4), "CMYK")
    keep("cmyk.jpg", saved(cmyk, "JPEG", quality=88))
    keep("ycck.jpg", turbo.compress(picture(channels=4), 11, 2))
    for size in [(1, 1), (1, 40), (40, 1), (2, 2), (17, 9)]:
        keep(f"color_{size[0]}x{size[1]}.jpg", saved(Image.fromarray(picture(*size)), "JPEG", quality=88))
    plain = saved(rgb, "JPEG", quality=88)
    for turn in range(1, 9):
        order = "<" if turn % 2 else ">"
        keep(f"turned{turn}.jpg", with_segment(plain, 0xE1, b"Exif\0\0" + exif_block(turn, order)))
    keep("turned9.jpg", with_segment(plain, 0xE1, b"Exif\0\0" + exif_block(9)))
    keep("turned_xmp.jpg", with_segment(plain, 0xE1, b"http://ns.adobe.com/xap/1.0/\0" + XMP_ELEMENT))
    both = with_segment(plain, 0xE1, b"http://ns.adobe.com/xap/1.0/\0" + XMP)
    keep("turned_exif_first.jpg", with_segment(both, 0xE1, b"Exif\0\0" + exif_block(2)))
    keep("garbage_behind.jpg", plain + bytes(range(200)))
    flawed = bytearray(plain)
    flawed[len(plain) * 4 // 5] ^= 0x55
    keep("flawed.jpg", bytes(flawed))
    keep("ends_in_a_scan.jpg", plain[:len(plain) * 4 // 5] + b"\xff\xd9")
    keep("comment.jpg", with_segment(plain, 0xFE, b"\xff\xd9 not the end"))


# WebP -----------------------------------------------------------------------------------------------------------

def make_webp():
    rgb, rgba = Image.fromarray(picture()), Image.fromarray(picture(channels=4))
    keep("lossy.webp", saved(rgb, "WEBP", quality=80))
    keep("lossless.webp", saved(rgb, "WEBP", lossless=True))
    keep("lossy_alpha.webp", saved(rgba, "WEBP", quality=80))
    keep("lossless_alpha.webp", saved(rgba, "WEBP", lossless=True, exact=True))
    keep("one_pixel.webp", saved(Image.fromarray(picture(1, 1)), "WEBP", quality=80))
    keep("turned6.webp", saved(rgb, "WEBP", quality=80, exif=b"Exif\0\0" + exif_block(6)))
    keep("turned5.webp", saved(rgb, "WEBP", quality=80, exif=exif_block(5, "<")))
    keep("turned_xmp.webp", saved(rgb, "WEBP", lossless=True, xmp=XMP))
    frames = [Image.fromarray(picture()) for _ in range(3)]
    clear = [Image.fromarray(picture(channels=4)) for _ in range(3)]
    keep("animated.webp", saved(frames[0], "WEBP", save_all=True, append_images=frames[1:], quality=80))
    keep("animated_lossless.webp", saved(frames[0], "WEBP", save_all=True, append_images=frames[1:], lossless=True))
    data = saved(clear[0], "WEBP", save_all=True, append_images=clear[1:], quality=80)
    keep("animated_alpha.webp", data)
    # The same frame at (4, 6) of a canvas of 50 x 40.
    moved = bytearray(data)
    moved[24:30] = struct.pack("<I", 49)[:3] + struct.pack("<I", 39)[:3]
    at = data.index(b"ANMF") + 8
    moved[at:at + 6] = struct.pack("<I", 2)[:3] + struct.pack("<I", 3)[:3]
    keep("animated_moved.webp", bytes(moved))


# Resizing -------------------------------------------------------------------------------------------------------

def pattern(width, height):
    """x := 1664525 x + 1013904223 modulo 2^32, from 1 on; each byte is the uppermost of the next x."""
    count = 3 * width * height
    out = bytearray(count)
    x = 1
    for i in range(count):
        x = (1664525 * x + 1013904223) & 0xFFFFFFFF
        out[i] = x >> 24
    return Image.frombytes("RGB", (width, height), bytes(out))


def make_resized():
    sizes = [
        ((1, 1), (1, 1)), ((1, 1), (7, 5)), ((2, 1), (1, 2)), ((3, 3), (2, 2)), ((5, 4), (5, 9)), ((5, 4), (11, 4)),
        ((37, 23), (37, 23)), ((37, 23), (36, 24)), ((37, 23), (28, 28)), ((37, 23), (56, 84)), ((64, 48), (32, 24)),
        ((64, 48), (63, 47)), ((64, 48), (65, 49)), ((64, 48), (1, 1)), ((64, 48), (112, 112)), ((1, 300), (28, 56)),
        ((300, 1), (56, 28)), ((2, 500), (30, 7)), ((500, 2), (7, 30)), ((101, 99), (13, 17)), ((13, 17), (101, 99)),
        ((128, 128), (3, 200)), ((128, 128), (200, 3)), ((256, 3), (31, 91)), ((97, 211), (224, 224)),
        ((211, 97), (84, 140)), ((7, 7), (336, 336)), ((333, 77), (112, 28)), ((2000, 1), (1, 1)), ((1, 2000), (1, 1)),
        ((50, 77), (112, 168)), ((60, 80), (50, 60)), ((60, 80), (50, 59)), ((60, 80), (61, 79)), ((60, 80), (59, 78)),
    ]
    rows = []
    for (width, height), (new_width, new_height) in sizes:
        source = pattern(width, height)
        for name in ("BILINEAR", "BICUBIC", "LANCZOS"):
            out = source.resize((new_width, new_height), getattr(Image, name))
            rows.append({"from": [width, height], "to": [new_width, new_height], "filter": name.lower(),
                         "crc32": zlib.crc32(out.tobytes())})
    (HERE / "resized.json").write_text("[\n" + ",\n".join(map(json.dumps, rows)) + "\n]\n")


def main():
    make_png()
    make_jpeg()
    make_webp()
    make_resized()
    listed, pixels = {}, b""
    for name, data in sorted(FILES.items()):
        image = Image.open(io.BytesIO(data))
        rgb = ImageOps.exif_transpose(image).convert("RGB")
        (HERE / name).write_bytes(data)
        listed[name] = [*rgb.size, len(pixels)]
        pixels += rgb.tobytes()
    (HERE / "pixels.rgb").write_bytes(pixels)
    rows = ",\n".join(f"{json.dumps(name)}: {json.dumps(row)}" for name, row in listed.items())
    (HERE / "images.json").write_text("{\n" + rows + "\n}\n")


main()
