"""Decoding HEIC, by pi-heif, which is the extra `heic`: libheif and libde265, of which the licence is LGPL-3.0.

Its decoder applies the turning and mirroring that the file's properties say, and crops. The EXIF block's orientation is
another record of the same and isn't read.
"""

from __future__ import annotations

from PIL import Image

try:
    import pi_heif

    # Photos are decoded side by side; a server with threads of its own for each would have too many.
    pi_heif.options.DECODE_THREADS = 1
    IS_THERE = True
except ImportError:
    IS_THERE = False


def decode_heic(data: bytes) -> Image.Image:
    """The primary picture, upright: RGB or RGBA, L or, with more than 8 bits, I;16. Its `info` has the `icc_profile`.

    Raises what pi-heif raises for a damaged file.
    """
    picture = pi_heif.HeifFile(data)
    content = picture.data  # first, since decoding may change the size
    image = Image.frombytes(picture.mode, picture.size, content, "raw", picture.mode, picture.stride)
    if profile := picture.info.get("icc_profile"):
        image.info["icc_profile"] = profile
    return image
