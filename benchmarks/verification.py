"""Images of many kinds and copies of them: what the shipped embedder decides, and what registration sees.

    python -m benchmarks.verification [--count 20] [--photos photos.tar [--names REGEX]]

Of each drawn kind (training/drawings) `count` images, a copy of each (two thirds of the size, JPEG of quality 45), and
all pairs of an image with another's copy. With `--photos` also photos: turned by quarters, mirrored upside down, cut to
half of their area, and on a plain ground of five times their area, against the other photos.

`agreement` is 1 minus the mean of the shares that disagree at both scales (phototriage/verification); its threshold is
not tuned here: the table has its average precision, and how many different pairs agree at least as far as the worst
copy. Nothing of this decides what is served.
"""

from __future__ import annotations

import argparse
import io
import re
import sys
import tarfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import thread_time

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from phototriage.common.errors import PhototriageError
from phototriage.duplicates.pairs import similarities
from phototriage.images.pixels import resize
from phototriage.images.upright import whole
from phototriage.models.embedder import Embedder
from phototriage.models.loading import load_embedder
from phototriage.settings import Settings
from phototriage.verification import Signature, signature_of, verify
from training.drawings import KINDS, draw_set
from training.pairs.metrics import average_precision
from training.statistics.tables import short, table

Pixels = NDArray[np.uint8]
COPY_SIDE, COPY_QUALITY = 2 / 3, 45
SEED = 7
GROUND = 5  # times the photo's area


@dataclass(frozen=True)
class Pairs:
    """Images, and a copy of each: two of the same place are the same picture."""

    kind: str
    images: Sequence[Pixels]
    copies: Sequence[Pixels]


def on_ground(image: Image.Image) -> Pixels:
    """RGB uint8 (H, W, 3); transparency on black or white, whichever shows more of what is not transparent."""
    if image.mode != "RGBA":
        return np.asarray(image.convert("RGB"))
    values = np.asarray(image, np.float32)
    opacity = values[..., 3:] / 255
    luma = (values[..., :3].mean(axis=2) * opacity[..., 0]).sum() / max(1.0, float(opacity.sum()))
    ground = 255.0 if luma < 128 else 0.0
    return (values[..., :3] * opacity + ground * (1 - opacity)).round().astype(np.uint8)


def copied(pixels: Pixels) -> Pixels:
    """Smaller, and compressed."""
    image = Image.fromarray(pixels)
    size = round(image.width * COPY_SIDE), round(image.height * COPY_SIDE)
    file = io.BytesIO()
    image.resize(size, Image.Resampling.BICUBIC).save(file, "JPEG", quality=COPY_QUALITY)
    with Image.open(file) as copy:
        return np.asarray(copy.convert("RGB"))


def half(pixels: Pixels) -> Pixels:
    """The middle, half of the area."""
    height, width = pixels.shape[:2]
    tall, wide = round(height * 0.5**0.5), round(width * 0.5**0.5)
    top, left = (height - tall) // 2, (width - wide) // 2
    return np.ascontiguousarray(pixels[top : top + tall, left : left + wide])


def grounded(pixels: Pixels) -> Pixels:
    """In the middle of a plain page."""
    height, width = pixels.shape[:2]
    page = np.full((round(height * GROUND**0.5), round(width * GROUND**0.5), 3), 240, np.uint8)
    top, left = (page.shape[0] - height) // 2, (page.shape[1] - width) // 2
    page[top : top + height, left : left + width] = pixels
    return page


EDITS: Mapping[str, Callable[[Pixels], Pixels]] = {
    "photos, turned by 90°": lambda pixels: np.ascontiguousarray(np.rot90(pixels)),
    "photos, turned by 180°": lambda pixels: np.ascontiguousarray(np.rot90(pixels, 2)),
    "photos, upside down": lambda pixels: np.ascontiguousarray(pixels[::-1]),
    "photos, cut to half": half,
    "photos, on a plain ground": grounded,
}


def drawn(count: int) -> list[Pairs]:
    sets = []
    for kind in KINDS:
        images = [on_ground(image) for image in draw_set(kind, count, SEED)]
        sets.append(Pairs(kind, images, [copied(image) for image in images]))
    return sets


def photographed(path: Path, names: str, count: int) -> list[Pairs]:
    """Photos of a tar whose names match, drawn from a seed."""
    with tarfile.open(path) as tar:
        members = [member for member in tar if member.isfile() and re.search(names, member.name)]
        chosen = np.random.default_rng(SEED).permutation(len(members))[:count]
        photos = []
        for place in chosen:
            file = tar.extractfile(members[place])
            if file is not None:
                with Image.open(file) as image:
                    photos.append(np.asarray(image.convert("RGB")))
    return [Pairs(kind, photos, [edit(photo) for photo in photos]) for kind, edit in EDITS.items()]


def agreement(a: Signature, b: Signature) -> float:
    evidence = verify(a, b)
    return 0.0 if evidence is None else 1 - (evidence.fine.disagreement + evidence.coarse.disagreement) / 2


def row(pairs: Pairs, model: Embedder, seconds: list[float]) -> list[str]:
    """One line of the table; CPU seconds of each comparison are added to `seconds`."""
    config, decision = model.manifest.input, model.manifest.decision
    if decision is None:
        raise TypeError(f"{model.name} is no embedder")
    n = len(pairs.images)
    left, right = np.repeat(np.arange(n), n), np.tile(np.arange(n), n)
    same = left == right
    embedded = [
        np.concatenate(
            [model.embed(resize(whole(Image.fromarray(image)), config).pixels[np.newaxis]) for image in images]
        )
        for images in (pairs.images, pairs.copies)
    ]
    similar = similarities(embedded[0][left], embedded[1][right], model.manifest.layout_rescoring)
    called = similar >= decision.threshold
    signatures = [[signature_of(image) for image in images] for images in (pairs.images, pairs.copies)]
    agreements = []
    for i, j in zip(left, right, strict=True):
        began = thread_time()
        agreements.append(agreement(signatures[0][i], signatures[1][j]))
        seconds.append(thread_time() - began)
    agrees = np.array(agreements)
    return [
        pairs.kind,
        f"{n} · {n * (n - 1)}",
        f"{(~called[same]).mean():.0%} · {called[~same].mean():.1%}",
        short(average_precision(similar, same)),
        short(average_precision(agrees, same)),
        f"{(agrees[~same] >= agrees[same].min()).mean():.1%}",
    ]


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.verification", description=__doc__.split("\n")[0])
    parser.add_argument("--count", type=int, default=20, help="images of each kind")
    parser.add_argument("--photos", type=Path, help="tar of photos, to be turned, cut and put on a page")
    parser.add_argument("--names", default="", metavar="REGEX", help="of the photos that may be taken")
    parser.add_argument("--model", type=Path, default=Path("exported_models/near_duplicates"))
    given = parser.parse_args(arguments)
    try:
        model = load_embedder(given.model, Settings(provider="cpu"))
    except PhototriageError as error:
        print(f"error: {error.detail}", file=sys.stderr)
        return 1
    sets = drawn(given.count) + ([] if given.photos is None else photographed(given.photos, given.names, given.count))
    seconds: list[float] = []
    rows = []
    for pairs in sets:
        rows.append(row(pairs, model, seconds))
        print(pairs.kind, file=sys.stderr)
    header = ["kind", "copies · different pairs", f"{model.name}: missed · false", "its AP"]
    header += ["agreement: AP", "different ones above the worst copy"]
    print(table(header, rows))
    print(
        f"\n{model.name} {model.manifest.version}; a comparison takes {1e3 * float(np.median(seconds)):.1f} ms of CPU"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
