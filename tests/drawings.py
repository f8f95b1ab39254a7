"""Small pictures that are unlike each other, and sets made of them."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from PIL import Image


def drawing(seed: int, size: tuple[int, int] = (64, 48)) -> Image.Image:
    """Soft coloured patches, RGB; another seed gives another picture."""
    patches = np.random.default_rng(seed).integers(0, 256, (5, 5, 3), np.uint8)
    return Image.fromarray(patches).resize(size, Image.Resampling.BICUBIC)


def encoded(image: Image.Image, kind: str = "PNG", **options: int) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def picture(seed: int) -> bytes:
    return encoded(drawing(seed))


def write_folder(root: Path, files: Mapping[str, bytes]) -> Path:
    for name, content in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return root


def write_tar(path: Path, files: Mapping[str, bytes], lead: str = "") -> Path:
    with tarfile.open(path, "w:gz" if path.name.endswith("gz") else "w") as tar:
        for name, content in files.items():
            member = tarfile.TarInfo(lead + name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return path


def two_classes(per_class: int) -> dict[str, bytes]:
    """cat/0.png, …, dog/0.png, …: all different."""
    return {
        f"{label}/{number}.png": picture(1000 * place + number)
        for place, label in enumerate(("cat", "dog"))
        for number in range(per_class)
    }
