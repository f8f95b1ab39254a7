"""What verification costs, in the service's own code and in one run.

    python -m benchmarks.verification_cost --data photos.tar [--count 200] [--folder 10000]

Milliseconds in one thread, medians over `count` photos: a signature beside the decode (the grey copy that is kept, and
the points that are found when it is first compared), and the verification of a pair with both at hand, of a copy (a
crop, compressed) and of another photo that looks like it. With `--folder N` the seconds that `phototriage duplicates`
takes for N photos by similarity alone and verified, in turns, all in memory but for the photos' files.
"""

from __future__ import annotations

import argparse
import io
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from time import perf_counter

import cv2
import numpy as np
import torch
from PIL import Image

from phototriage.cli.duplicates import write_groups
from phototriage.common.errors import PhototriageError
from phototriage.duplicates.neighbours import nearest
from phototriage.images.pixels import ImageLimits, decode_for, resize
from phototriage.models.embedder import Embedder
from phototriage.models.loading import load_embedder
from phototriage.settings import Settings
from phototriage.triage.comparison import Thresholds, decision_of
from phototriage.verification import signature, verify
from training.data.dataset import Dataset
from training.data.loading import load
from training.loop.compute import hardware
from training.statistics.tables import table

QUALITY, CROP = 70, 0.8


def copied(data: bytes) -> bytes:
    """The middle of a photo, compressed anew."""
    with Image.open(io.BytesIO(data)) as file:
        photo = file.convert("RGB")
    left, top = (round(side * (1 - CROP) / 2) for side in photo.size)
    copy = io.BytesIO()
    photo.crop((left, top, photo.width - left, photo.height - top)).save(copy, "JPEG", quality=QUALITY)
    return copy.getvalue()


def pairs(model: Embedder, photos: Sequence[bytes]) -> dict[str, list[float]]:
    """Milliseconds by what was done."""
    times: dict[str, list[float]] = {
        name: [] for name in ("decode", "grey copy", "points", "verify a copy", "verify another")
    }

    def timed(name: str, begun: float) -> None:
        times[name].append(1000 * (perf_counter() - begun))

    signatures, pixels = [], []
    for data in photos:
        begun = perf_counter()
        upright = decode_for(data, [model.manifest.input], ImageLimits())
        timed("decode", begun)
        begun = perf_counter()
        encoded = signature.encode(upright)
        timed("grey copy", begun)
        begun = perf_counter()
        signed = signature.decode(encoded)
        _ = signed.keypoints
        timed("points", begun)
        signatures.append(signed)
        pixels.append(resize(upright, model.manifest.input).pixels)
    embeddings = np.concatenate([model.embed(each[np.newaxis]) for each in pixels])
    alike = nearest(embeddings, 1, model.manifest.layout_rescoring).row[:, 0].tolist()
    for data, signed, other in zip(photos, signatures, alike, strict=True):
        copy = signature.decode(signature.encode(decode_for(copied(data), [model.manifest.input], ImageLimits())))
        _ = copy.keypoints
        for name, right in (("verify a copy", copy), ("verify another", signatures[other])):
            begun = perf_counter()
            verify(signed, right)
            timed(name, begun)
    return times


def folder(model: Embedder, data: Dataset, count: int, settings: Settings) -> tuple[float, float]:
    """Seconds for so many photos, by similarity alone and verified."""
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        (place / "photos").mkdir()
        for row in range(count):
            (place / "photos" / f"{row:06}.jpg").write_bytes(data.read(row % len(data)))
        seconds = []
        verifier = model.verifier
        for thresholds in (Thresholds(similarity=decision_of(model).threshold), Thresholds()):
            model.verifier = None if thresholds.similarity is not None else verifier  # no signatures are made then
            begun = perf_counter()
            output = place / "groups.csv"
            write_groups(place / "photos", output, model, thresholds, settings.image_limits, settings.threads)
            seconds.append(perf_counter() - begun)
        model.verifier = verifier
    return seconds[0], seconds[1]


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.verification_cost", description=__doc__.split("\n")[0])
    parser.add_argument("--data", type=Path, required=True, help="folder or tar of photos")
    parser.add_argument("--model", type=Path, default=Path("exported_models/near_duplicates"))
    parser.add_argument("--count", type=int, default=200, help="photos")
    parser.add_argument("--folder", type=int, default=0, help="photos of a folder to find duplicates in")
    given = parser.parse_args(arguments)
    try:
        settings = Settings(provider="cpu")
        model = load_embedder(given.model, settings)
        data = load(given.data, labelled=False)
    except PhototriageError as error:
        print(f"error: {error.detail}", file=sys.stderr)
        return 1
    rows = np.random.default_rng(0).permutation(len(data))[: given.count]
    times = pairs(model, [data.read(int(row)) for row in rows])
    lines = [[name, f"{median(values):.1f}", f"{np.percentile(values, 95):.1f}"] for name, values in times.items()]
    print(table([f"{len(rows)} photos of {data.name}", "p50, ms", "p95, ms"], lines))
    if given.folder:
        alone, verified = folder(model, data, given.folder, settings)
        ratio = f"{verified / alone:.2f} × the time"
        print(f"\n{given.folder:,} photos: {alone:.1f} s by similarity, {verified:.1f} s verified: {ratio}")
    print(f"\n{model.name} {model.manifest.version}; {hardware(torch.device('cpu'))}; OpenCV {cv2.__version__}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
