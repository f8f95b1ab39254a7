"""Make the HEIC files of this folder: `python make.py`, in an environment of its own with NumPy and pillow-heif 1.8.

pillow-heif brings the encoder x265, which is GPL, and is needed for nothing else: not a dependency, so the files are
kept. Each shows `tests.hostile_files.picture()`, 24×32.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pillow_heif
from PIL import Image

FOLDER = Path(__file__).parent


def main() -> None:
    rows, columns = np.mgrid[0:24, 0:32]
    checks = (rows // 4 + columns // 4) % 2 * 255
    colours = np.stack([rows * 255 // 24, columns * 255 // 32, checks], axis=-1).astype(np.uint8)
    photo = Image.fromarray(colours)
    grey = np.asarray(photo.convert("L"))
    opaque_right = photo.copy()
    opaque_right.putalpha(Image.fromarray(np.where(columns < 16, np.uint8(0), np.uint8(255))))

    write("photo", pillow_heif.from_pillow(photo))
    write("alpha", pillow_heif.from_pillow(opaque_right))
    write("grey", pillow_heif.from_pillow(Image.fromarray(grey)))
    write("ten_bits", pillow_heif.from_bytes("RGB;16", (32, 24), (colours.astype("<u2") * 257).tobytes()))
    write("grey_ten_bits", pillow_heif.from_bytes("L;16", (32, 24), (grey.astype("<u2") * 257).tobytes()))

    # Orientation 6, both as a property of the picture and in an EXIF block, as phones write it.
    turned = pillow_heif.from_bytes("RGB", (32, 24), colours.tobytes())
    exif = Image.Exif()
    exif[0x0112] = 6
    turned.info["exif"] = exif.tobytes()
    write("turned", turned)

    two = pillow_heif.from_pillow(photo.transpose(Image.Transpose.ROTATE_180))
    two.add_from_pillow(photo)
    write("second_is_primary", two, primary_index=1)


def write(name: str, file: Any, **options: Any) -> None:
    file.save(FOLDER / f"{name}.heic", quality=80, chroma=444, **options)


if __name__ == "__main__":
    main()
