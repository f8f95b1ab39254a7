"""Every way in which a photo gets reposted, by name: seeded, and scaled by a severity in [0, 1].

    distort(photo, "jpeg", 0.5, np.random.default_rng(7))

All take and give RGB, 8 bits a channel, at least 16 pixels a side; smaller photos are first scaled up to that. They
are meant for photos of at most 448 pixels. The same name, severity and state of the generator give the same picture.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping
from types import MappingProxyType

import numpy as np
from PIL import Image

from training.reposts import edits, overlays, pages
from training.reposts.severity import Distortion, pick

MIN_SIDE = 16
STRONG = "strong"
STRONG_LENGTHS = (2, 5)

# Kinds in the order in which a chain applies them: first what happens to the scene, then to its colours, then what is
# laid over or around it, and last what a website does to the file. A chain takes at most one of each kind.
_KINDS: Mapping[str, Mapping[str, Distortion]] = {
    "crop": {"crop": edits.crop},
    "angle": {"rotation": edits.rotation, "perspective": edits.perspective},
    "mirror": {"mirror": edits.mirror},
    "aspect": {"aspect": edits.aspect},
    "tone": {
        "brightness": edits.brightness,
        "contrast": edits.contrast,
        "gamma": edits.gamma,
        "tone": edits.tone,
    },
    "colour": {
        "saturation": edits.saturation,
        "hue": edits.hue,
        "greyscale": edits.greyscale,
        "sepia": edits.sepia,
        "tint": edits.tint,
        "colour": edits.colour,
    },
    "sharpness": {"blur": edits.blur, "sharpen": edits.sharpen},
    "noise": {"noise": edits.noise, "salt": edits.salt},
    "watermark": {
        "text_watermark": overlays.text_watermark,
        "logo_watermark": overlays.logo_watermark,
        "tiled_watermark": overlays.tiled_watermark,
    },
    "logo": {"logo": overlays.logo, "badge": overlays.badge},
    "border": {"frame": pages.frame, "letterbox": pages.letterbox},
    "page": {"card": pages.card, "screenshot": pages.screenshot},
    "size": {"downscale": edits.downscale, "thumbnail": edits.thumbnail},
    "compression": {"jpeg": edits.jpeg, "webp": edits.webp},
}
_ORDER: Mapping[str, int] = {name: i for i, name in enumerate(name for kind in _KINDS.values() for name in kind)}

# What depends on name, severity and generator alone, not on the photo: two photos can wear the very same one.
OVERLAYS: tuple[str, ...] = tuple(name for kind in ("watermark", "logo", "border", "page") for name in _KINDS[kind])


def distort(photo: Image.Image, name: str, severity: float, rng: np.random.Generator) -> Image.Image:
    """One distortion of an RGB photo, which stays as it was.

    Raises ValueError for a name that is not in `DISTORTIONS`, a severity outside [0, 1], a photo of another mode.
    """
    if name not in DISTORTIONS:
        raise ValueError(f"There is no distortion {name!r}. There are: {', '.join(DISTORTIONS)}.")
    _check_severity(severity)
    if photo.mode != "RGB":
        raise ValueError(f"The photo is of mode {photo.mode}; convert it to RGB.")
    return DISTORTIONS[name](photo, severity, rng)


def chain(photo: Image.Image, names: Iterable[str], severity: float, rng: np.random.Generator) -> Image.Image:
    """Several distortions in the order given, all at one severity."""
    for name in names:
        photo = distort(photo, name, severity, rng)
    return photo


def draw_chain(rng: np.random.Generator, length: int, among: Collection[str]) -> tuple[str, ...]:
    """`length` names of different kinds, in a plausible order. A kind counts once, however many names it has.

    "strong", a chain itself, is never drawn. Raises ValueError for unknown names and for too few kinds.
    """
    unknown = sorted(set(among) - DISTORTIONS.keys())
    if unknown:
        raise ValueError(f"There are no distortions {', '.join(unknown)}. There are: {', '.join(DISTORTIONS)}.")
    kinds = [names for kind in _KINDS.values() if (names := [name for name in kind if name in among])]
    if not 0 <= length <= len(kinds):
        raise ValueError(f"A chain of {length} was asked for; the names given are of {len(kinds)} kinds.")
    drawn = [pick(kinds[i], rng) for i in rng.choice(len(kinds), length, replace=False)]
    return tuple(sorted(drawn, key=_ORDER.__getitem__))


def _strong(photo: Image.Image, severity: float, rng: np.random.Generator) -> Image.Image:
    """A chain of two to five, more at a higher severity, and each the milder the more there are.

    No thumbnails: whatever comes with those few pixels, a page or another compression, leaves nothing of the photo.
    """
    fewest, most = STRONG_LENGTHS
    length = fewest + round((most - fewest) * rng.random() * severity)
    names = draw_chain(rng, length, _ORDER.keys() - {"thumbnail"})
    return chain(photo, names, severity * math.sqrt(fewest / length), rng)


def _sized(operation: Distortion) -> Distortion:
    """Keeps what goes in and what comes out at `MIN_SIDE` or more."""

    def sized(photo: Image.Image, severity: float, rng: np.random.Generator) -> Image.Image:
        return _at_least(operation(_at_least(photo), severity, rng))

    return sized


def _at_least(photo: Image.Image) -> Image.Image:
    size = (max(photo.width, MIN_SIDE), max(photo.height, MIN_SIDE))
    return photo if size == photo.size else photo.resize(size, Image.Resampling.BILINEAR)


def _check_severity(severity: float) -> None:
    if not 0 <= severity <= 1:
        raise ValueError(f"The severity is {severity}; it goes from 0, mild, to 1, strong.")


DISTORTIONS: Mapping[str, Distortion] = MappingProxyType(
    {name: _sized(operation) for kind in _KINDS.values() for name, operation in kind.items()}
    | {STRONG: _sized(_strong)}
)
