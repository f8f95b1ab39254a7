"""What a kept signature costs and what it is worth: grey copies of several sides, kept as about 1 to 8 KB.

    python -m benchmarks.signature_size --houses house_photos.tar --caltech caltech101.tar
        [--photos 30] [--drawn 8] [--json FILE]

For each side, JPEG's quality is the one at which the median signature of a sample is nearest to so many bytes, and what
isn't within a fifth of them is left out. A setting's decision is fitted to its own evidence, by cross-validation
(`benchmarks.verification_sets`): average precision · best F1 of held-out validation pairs. The tolerance of points
grows with the side; all else is as it ships. Milliseconds are medians of one thread's processor time.
"""

from __future__ import annotations

import argparse
import io
import json
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any
from unittest import mock

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image
from PIL import __version__ as pillow_version

from benchmarks.duplicate_pairs import load_all
from benchmarks.verification_sets import Column, Quality, conditions, counts, drawn_sets, hard_sets, measure, qualities
from phototriage.common.errors import PhototriageError
from phototriage.verification import registration, signature
from phototriage.verification.evidence import verify
from training.statistics.tables import table

SIDES = (96, 128, 192, 256, 320)
KILOBYTES = (1, 2, 4, 8)
NEAR = 0.2  # of the bytes that a setting is to have
QUALITIES = range(5, 96, 5)
SAMPLE = 40  # images whose bytes and milliseconds are measured
PEERS = ("WEBP", "AVIF")
NO_LIMIT = 1 << 20  # bytes


@dataclass(frozen=True)
class Setting:
    side: int
    quality: int

    @property
    def is_shipped(self) -> bool:
        return (self.side, self.quality) == (signature.SIDE, signature.QUALITY)


@dataclass(frozen=True)
class Cost:
    """Median bytes of a signature, and milliseconds of making it, of reading it and finding its points, and of laying
    one over another whose points are known."""

    bytes: float
    encode: float
    read: float
    verify: float


@dataclass(frozen=True)
class Result:
    setting: Setting
    cost: Cost
    qualities: dict[str, Quality]


@dataclass(frozen=True)
class Format:
    """Grey copies of the shipped side in another format, at the least quality that loses no more than JPEG's."""

    name: str
    quality: int
    bytes: float
    error: float  # grey levels, root of the mean square
    encode: float
    decode: float


@contextmanager
def kept_as(setting: Setting) -> Iterator[None]:
    """Signatures are made, read and compared by that setting."""
    tolerance = registration.TOLERANCE * setting.side / signature.SIDE
    with (
        mock.patch.multiple(signature, SIDE=setting.side, QUALITY=setting.quality, MAX_BYTES=NO_LIMIT),
        mock.patch.object(registration, "TOLERANCE", tolerance),
    ):
        yield


@contextmanager
def timed(times: list[float]) -> Iterator[None]:
    """Append the milliseconds of processor time that this thread takes."""
    began = time.thread_time()
    yield
    times.append(1000 * (time.thread_time() - began))


def settings(images: Sequence[Image.Image]) -> list[Setting]:
    """What ships, and for each side the qualities that give about so many bytes."""
    found = [Setting(signature.SIDE, signature.QUALITY)]
    for side in SIDES:
        sizes = {quality: _median_bytes(images, Setting(side, quality)) for quality in QUALITIES}
        for kilobytes in KILOBYTES:
            wanted = 1000 * kilobytes
            quality = min(sizes, key=lambda each: abs(sizes[each] - wanted))
            if abs(sizes[quality] - wanted) <= NEAR * wanted:
                found.append(Setting(side, quality))
    return sorted(dict.fromkeys(found), key=lambda each: (each.side, each.quality))


def _median_bytes(images: Sequence[Image.Image], setting: Setting) -> float:
    with kept_as(setting):
        return float(np.median([len(signature.encode(image)) for image in images]))


def cost_of(setting: Setting, pairs: Sequence[tuple[Image.Image, Image.Image]]) -> Cost:
    sizes: list[int] = []
    encoding: list[float] = []
    reading: list[float] = []
    verifying: list[float] = []
    with kept_as(setting):
        for pair in pairs:
            signatures = []
            for image in pair:
                with timed(encoding):
                    encoded = signature.encode(image)
                with timed(reading):
                    signatures.append(signature.decode(encoded))
                    _ = signatures[-1].keypoints
                sizes.append(len(encoded))
            with timed(verifying):
                verify(*signatures)
    return Cost(*(float(np.median(each)) for each in (sizes, encoding, reading, verifying)))


def sampled(columns: Sequence[Column]) -> list[tuple[Image.Image, Image.Image]]:
    """Pairs of all columns, evenly."""
    pairs = [(images.images[pair.left], images.images[pair.right]) for _, images in columns for pair in images.pairs]
    return [pairs[place] for place in np.linspace(0, len(pairs) - 1, min(SAMPLE, len(pairs))).astype(int)]


def results(columns: Sequence[Column]) -> list[Result]:
    sample = sampled(columns)
    found = []
    for setting in settings([left for left, _ in sample]):
        began = time.monotonic()
        with kept_as(setting):
            measured = measure(columns, lambda images, place: signature.signature_of(images.images[place]))
        found.append(Result(setting, cost_of(setting, sample), qualities(measured)))
        figures = ", ".join(f"{column} {quality}" for column, quality in found[-1].qualities.items())
        print(f"{setting}: {figures}; {time.monotonic() - began:.0f} s", file=sys.stderr, flush=True)
    return found


def formats(images: Sequence[Image.Image]) -> list[Format]:
    """JPEG as it ships, and each peer at the least of its qualities that loses no more."""
    with kept_as(Setting(signature.SIDE, 100)):  # next to no loss
        greys = [signature.signature_of(image).grey for image in images]
    found = [_format("JPEG", signature.QUALITY, greys)]
    for name in PEERS:
        tried = (_format(name, quality, greys) for quality in QUALITIES)
        found += [each for each in tried if each.error <= found[0].error][:1]
    return found


def _format(name: str, quality: int, greys: Sequence[NDArray[np.uint8]]) -> Format:
    sizes: list[int] = []
    errors: list[float] = []
    encoding: list[float] = []
    reading: list[float] = []
    options: dict[str, Any] = {"optimize": True} if name == "JPEG" else {}
    for grey in greys:
        file, picture = io.BytesIO(), Image.fromarray(grey)
        with timed(encoding):
            picture.save(file, name, quality=quality, **options)
        with timed(reading), Image.open(file) as kept:
            back = np.asarray(kept.convert("L"), np.float64)
        sizes.append(file.getbuffer().nbytes)
        errors.append(float(((back - grey) ** 2).mean()))
    size, encode, decode = (float(np.median(each)) for each in (sizes, encoding, reading))
    return Format(name, quality, size, float(np.sqrt(np.mean(errors))), encode, decode)


def markdown(found: Sequence[Result], peers: Sequence[Format], notes: Sequence[str]) -> str:
    columns = list(found[0].qualities)
    rows = [
        [
            f"{one.setting.side}{' (ships)' if one.setting.is_shipped else ''}",
            f"{one.setting.quality}",
            f"{one.cost.bytes:,.0f}",
            *(str(one.qualities[column]) for column in columns),
            *(f"{each:.1f}" for each in (one.cost.encode, one.cost.read, one.cost.verify)),
        ]
        for one in found
    ]
    times = ["encode, ms", "decode and points, ms", "verify, ms"]
    others = [
        [one.name, f"{one.quality}", f"{one.bytes:,.0f}", f"{one.error:.1f}", f"{one.encode:.1f}", f"{one.decode:.1f}"]
        for one in peers
    ]
    return "\n\n".join(
        [
            "\n".join(f"- {note}" for note in notes),
            table(["side", "quality", "bytes", *columns, *times], rows),
            f"Grey copies of {signature.SIDE} px in other formats:",
            table(["format", "quality", "bytes", "error, grey levels", "encode, ms", "decode, ms"], others),
        ]
    )


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.signature_size", description=__doc__.split("\n")[0])
    parser.add_argument("--houses", type=Path, required=True, help="house_photos, folder or tar")
    parser.add_argument("--caltech", type=Path, required=True, help="caltech101, folder or tar")
    parser.add_argument("--photos", type=int, default=30, help="of rooms, and of objects")
    parser.add_argument("--drawn", type=int, default=8, help="images of each kind of drawing")
    parser.add_argument("--json", type=Path, help="also write all figures to this file")
    given = parser.parse_args(arguments)
    cv2.setNumThreads(1)
    try:
        photos = load_all(given.houses, given.caltech)
        columns = [*hard_sets(photos, given.photos), *drawn_sets(given.drawn)]
    except PhototriageError as error:
        print(f"error: {error.detail}", file=sys.stderr)
        return 1
    found, peers = results(columns), formats([left for left, _ in sampled(columns)])
    notes = [counts(columns), f"{conditions(photos)}, Pillow {pillow_version}"]
    print(markdown(found, peers, notes))
    if given.json:
        figures = {
            "notes": notes,
            "settings": [asdict(one) for one in found],
            "formats": [asdict(one) for one in peers],
        }
        given.json.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
