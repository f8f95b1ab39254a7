"""QR codes (ISO/IEC 18004), by the library segno."""

from __future__ import annotations

import io

import numpy as np
import segno
from PIL import Image

from training.drawings import words


def qr_code(content: np.random.Generator, template: np.random.Generator) -> Image.Image:
    """An address as a code, in one of a few versions and sizes of a module."""
    text = f"https://{words.word(content)}-{words.word(content)}.example/{int(content.integers(10**6, 10**9))}"
    file = io.BytesIO()
    version, scale = int(template.integers(4, 7)), int(template.integers(8, 14))
    segno.make(text, version=version, error="m", micro=False).save(file, kind="png", scale=scale, border=4)
    with Image.open(file) as image:
        return image.convert("RGB")
