"""What trimming plain borders does for the near-duplicate embedder: a photo and its copy on a page of 2 to 20 times its
area, compared whole and trimmed.

    python -m benchmarks.border_trimming --photos photos.tar [--names REGEX] [--count 60] [--model FOLDER]

Pages have a random colour, proportion and place of the photo, and are JPEGs of quality 60. `trimmed` compares both
images' content (phototriage/images/borders), where there is any, else the whole. Different pairs are of two photos, one
of them on a page. Markdown is printed.
"""

from __future__ import annotations

import argparse
import io
import re
import sys
import tarfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from phototriage.common.errors import PhototriageError
from phototriage.duplicates.pairs import similarities
from phototriage.images.borders import content_box
from phototriage.images.box import Box
from phototriage.images.pixels import resize
from phototriage.images.upright import whole
from phototriage.models.embedder import Embedder
from phototriage.models.loading import load_embedder
from phototriage.settings import Settings
from training.statistics.tables import short, table

AREAS = (2, 5, 10, 20)
QUALITY = 60
SEED = 7
FOUND = 0.9  # of intersection over union


def on_page(photo: Image.Image, area: float, rng: np.random.Generator) -> tuple[Image.Image, Box]:
    """The photo somewhere on a plain page of so many times its area, and where."""
    proportion = float(np.exp(rng.uniform(-0.5, 0.5)))
    width = max(photo.width, round(photo.width * (area * proportion) ** 0.5))
    height = max(photo.height, round(area * photo.width * photo.height / width))
    page = Image.new("RGB", (width, height), tuple(int(value) for value in rng.integers(0, 256, 3)))
    left, top = int(rng.integers(0, width - photo.width + 1)), int(rng.integers(0, height - photo.height + 1))
    page.paste(photo, (left, top))
    file = io.BytesIO()
    page.save(file, "JPEG", quality=QUALITY)
    with Image.open(file) as jpeg:
        return jpeg.convert("RGB"), Box(top, left, top + photo.height, left + photo.width)


def overlap(a: Box, b: Box) -> float:
    """Intersection over union."""
    rows = max(0.0, min(a.bottom, b.bottom) - max(a.top, b.top))
    columns = max(0.0, min(a.right, b.right) - max(a.left, b.left))
    return rows * columns / (a.height * a.width + b.height * b.width - rows * columns)


def trimmed(image: Image.Image) -> Image.Image:
    box = content_box(whole(image))
    if box is None:
        return image
    return image.crop((round(box.left), round(box.top), round(box.right), round(box.bottom)))


def embedded(images: Sequence[Image.Image], model: Embedder) -> NDArray[np.float32]:
    config = model.manifest.input
    return np.concatenate([model.embed(resize(image, config).pixels[np.newaxis]) for image in images])


def rows_of(photos: Sequence[Image.Image], area: int, model: Embedder) -> list[list[str]]:
    """A line for the whole images and one for the trimmed."""
    rng = np.random.default_rng((SEED, area))
    placed = [on_page(photo, area, rng) for photo in photos]
    pages = [page for page, _ in placed]
    found = [content_box(whole(page)) for page in pages]
    share = np.mean(
        [box is not None and overlap(box, true) >= FOUND for box, (_, true) in zip(found, placed, strict=True)]
    )
    left, right = np.nonzero(~np.eye(len(photos), dtype=bool))
    rows = []
    for view in ("whole", "trimmed"):
        pair = (photos, pages) if view == "whole" else (list(map(trimmed, photos)), list(map(trimmed, pages)))
        a, b = (embedded(images, model) for images in pair)
        same = similarities(a, b, model.manifest.layout_rescoring)
        different = similarities(a[left], b[right], model.manifest.layout_rescoring)
        figures = [np.quantile(same, 0.05), np.median(same), np.quantile(different, 0.99), different.max()]
        found_share = "–" if view == "whole" else f"{share:.0%}"
        rows.append([str(area), view, found_share, *(short(float(figure)) for figure in figures)])
    return rows


def drawn_photos(path: Path, names: str, count: int) -> list[Image.Image]:
    """Photos of a tar whose names match, drawn from a seed."""
    photos = []
    with tarfile.open(path) as tar:
        members = [member for member in tar if member.isfile() and re.search(names, member.name)]
        for place in np.random.default_rng(SEED).permutation(len(members))[:count]:
            file = tar.extractfile(members[place])
            if file is not None:
                with Image.open(file) as image:
                    photos.append(image.convert("RGB"))
    return photos


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.border_trimming", description=__doc__.split("\n")[0])
    parser.add_argument("--photos", type=Path, required=True, help="tar of photos")
    parser.add_argument("--names", default="", metavar="REGEX", help="of the photos that may be taken")
    parser.add_argument("--count", type=int, default=60, help="photos")
    parser.add_argument("--model", type=Path, default=Path("exported_models/near_duplicates"))
    given = parser.parse_args(arguments)
    try:
        model = load_embedder(given.model, Settings(provider="cpu"))
    except PhototriageError as error:
        print(f"error: {error.detail}", file=sys.stderr)
        return 1
    photos = drawn_photos(given.photos, given.names, given.count)
    rows = [row for area in AREAS for row in rows_of(photos, area, model)]
    header = ["page's area", "view", "box found", "same: 5 %", "same: median", "different: 99 %", "different: most"]
    print(table(header, rows))
    return 0


if __name__ == "__main__":
    sys.exit(main())
