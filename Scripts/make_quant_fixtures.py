#!/usr/bin/env python3
"""Writes Tests/Fixtures/quantized: random GGUF blocks and their values as the `gguf` package decodes them.

For every encoding NAME there is NAME.blocks, the bytes of 1024 elements, and NAME.f32, the elements as
little-endian float32. Needs `pip install gguf`. The output is the same on every run.
"""

from pathlib import Path

import numpy as np
from gguf import GGMLQuantizationType, GGML_QUANT_SIZES
from gguf.quants import dequantize

ELEMENTS = 1024

# Where in a block the float16 scales and minima lie; all other bytes may be anything.
HALVES = {
    "Q4_0": [0], "Q4_1": [0, 2], "Q5_0": [0], "Q5_1": [0, 2], "Q8_0": [0],
    "Q2_K": [80, 82], "Q3_K": [108], "Q4_K": [0, 2], "Q5_K": [0, 2], "Q6_K": [208],
}


def main():
    folder = Path(__file__).resolve().parent.parent / "Tests" / "Fixtures" / "quantized"
    folder.mkdir(parents=True, exist_ok=True)
    random = np.random.Generator(np.random.PCG64(20))
    for name, halves in HALVES.items():
        encoding = GGMLQuantizationType[name]
        elements, size = GGML_QUANT_SIZES[encoding]
        blocks = random.integers(0, 256, (ELEMENTS // elements, size), dtype=np.uint8)
        for at in halves:
            scales = random.uniform(-0.1, 0.1, len(blocks)).astype("<f2")
            blocks[:, at : at + 2] = scales.view(np.uint8).reshape(-1, 2)
        values = dequantize(blocks.reshape(1, -1), encoding).reshape(-1)
        assert len(values) == ELEMENTS and np.isfinite(values).all()
        (folder / f"{name}.blocks").write_bytes(blocks.tobytes())
        (folder / f"{name}.f32").write_bytes(values.astype("<f4").tobytes())


if __name__ == "__main__":
    main()
