"""What happens to a photo between two uploads: a few distortions, each with a seed of its own.

Two kinds of reposts, as the near-duplicate task knows them: everyday ones, and hard ones, which are those that
hashes and published copy detectors miss.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np
from PIL import Image

from training.reposts.distortions import OVERLAYS, distort, draw_chain

Rng = np.random.Generator


class Step(NamedTuple):
    """One distortion. Two photos that take the very same overlay step wear the same overlay."""

    name: str
    severity: float
    seed: int


Steps = tuple[Step, ...]

WATERMARKS = ("text_watermark", "logo_watermark", "tiled_watermark")
BORDERS = ("frame", "letterbox")
PAGES = ("card", "screenshot")
STICKERS = ("logo", "badge")
TONES = ("tone", "brightness", "contrast", "gamma")
COLOURS = ("colour", "saturation", "hue", "greyscale", "sepia", "tint")
MILD = (
    "crop",
    "rotation",
    "mirror",
    "aspect",
    *TONES,
    *COLOURS,
    "blur",
    "sharpen",
    *WATERMARKS,
    *BORDERS,
    "downscale",
    "jpeg",
    "webp",
)
STRONG = (*MILD, "perspective", "noise", "salt", *STICKERS, *PAGES)


def repost(photo: Image.Image, steps: Steps) -> Image.Image:
    """The RGB photo after all steps."""
    for step in steps:
        photo = distort(photo, step.name, step.severity, np.random.default_rng(step.seed))
    return photo


def draw_step(rng: Rng, names: tuple[str, ...], mildest: float, strongest: float) -> Step:
    """One of the names, at a severity between the two."""
    name = names[int(rng.integers(len(names)))]
    return Step(name, float(rng.uniform(mildest, strongest)), int(rng.integers(2**31)))


def _one(names: tuple[str, ...], mildest: float, strongest: float) -> Callable[[Rng], Steps]:
    return lambda rng: (draw_step(rng, names, mildest, strongest),)


def _chain(
    among: tuple[str, ...], shortest: int, longest: int, mildest: float, strongest: float
) -> Callable[[Rng], Steps]:
    def draw(rng: Rng) -> Steps:
        names = draw_chain(rng, int(rng.integers(shortest, longest + 1)), among)
        return tuple(draw_step(rng, (name,), mildest, strongest) for name in names)

    return draw


# Severities are those at which a distortion has the strength that the comment names.
EVERYDAY: Mapping[str, Callable[[Rng], Steps]] = {
    "recompression": _one(("jpeg", "webp"), 0, 1),
    "downscale": _one(("downscale",), 0, 0.67),  # to .6–.3 of the side
    "aspect": _one(("aspect",), 0, 0.85),  # .75–1.33
    "frame": _one(BORDERS, 0, 0.6),
    "watermark": _one(WATERMARKS, 0, 0.8),
    "tone": _one(TONES, 0, 0.6),
    "colour": _one(COLOURS, 0, 0.8),
    "crop": _one(("crop",), 0.154, 0.538),  # 85–60 % of the area
    "mirror": _one(("mirror",), 0, 1),
    "rotation": _one(("rotation",), 0, 0.25),  # 2–6°
    "blur": _one(("blur",), 0, 0.6),
    "mild chain": _chain(MILD, 2, 3, 0, 0.35),
}
HARD: Mapping[str, Callable[[Rng], Steps]] = {
    "thumbnail": _one(("thumbnail",), 0, 1),  # 80–50 px, noise
    "strong chain": _chain(STRONG, 3, 5, 0.5, 1),
    "tight crop": _one(("crop",), 0.692, 1),  # 50–30 % of the area
    "opaque logo": _one(STICKERS, 0.6, 1),
    "listing card": _one(PAGES, 0.2, 1),
    "turned": _one(("rotation",), 0.4375, 1),  # 9–18°
    "strong tone": _one(TONES, 0.75, 1),
}


def draw_everyday(rng: Rng) -> Steps:
    return _drawn(rng, EVERYDAY)


def draw_hard(rng: Rng) -> Steps:
    return _drawn(rng, HARD)


def _drawn(rng: Rng, kinds: Mapping[str, Callable[[Rng], Steps]]) -> Steps:
    return list(kinds.values())[int(rng.integers(len(kinds)))](rng)


def draw_shared_overlay(rng: Rng) -> Step:
    """An overlay for two different photos to wear."""
    return draw_step(rng, OVERLAYS, 0.2, 1)
