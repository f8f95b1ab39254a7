"""What editors and websites do to a photo's own pixels: geometry, tone, detail, size and compression.

Every function is a `Distortion` and takes a photo of at least 16 pixels a side.
"""

from __future__ import annotations

import io
import math

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageEnhance, ImageFilter, ImageOps

from training.reposts.severity import amount, factor, pick

THUMBNAIL_SIDE = (80, 50)  # pixels of the longer side, mild and strong
ASPECT = (1.1, 1.4)
CROP_AREA = (0.95, 0.3)
SMALLEST_INSIDE = 0.5  # of a side; a rotated photo that is narrower inside keeps its corners instead

_LEVELS = np.arange(256, dtype=np.float64)
_FILTERS = (
    Image.Resampling.BOX,
    Image.Resampling.BILINEAR,
    Image.Resampling.BICUBIC,
    Image.Resampling.LANCZOS,
)
# W3C Filter Effects Module 1, hue-rotate and sepia
_HUE_LUMA = np.array([[0.213, 0.715, 0.072]] * 3)
_HUE_COSINE = np.eye(3) - _HUE_LUMA
_HUE_SINE = np.array([[-0.213, -0.715, 0.928], [0.143, 0.140, -0.283], [-0.787, 0.715, 0.072]])
_SEPIA = np.array([[0.393, 0.769, 0.189], [0.349, 0.686, 0.168], [0.272, 0.534, 0.131]])


def mirror(photo: Image.Image, severity: float, rng: np.random.Generator) -> Image.Image:
    return ImageOps.mirror(photo)


def crop(photo: Image.Image, severity: float, rng: np.random.Generator) -> Image.Image:
    """A part of 95 to 30 % of the area, its proportions up to 15 % off the photo's."""
    area = amount(*CROP_AREA, severity, rng)
    # More stretch than 1 / area would need a crop wider or higher than the photo.
    stretch = math.exp(rng.uniform(-1, 1) * min(math.log(1.15), -math.log(area)))
    width = round(photo.width * math.sqrt(area * stretch))
    height = round(photo.height * math.sqrt(area / stretch))
    left = round(rng.random() * (photo.width - width))
    top = round(rng.random() * (photo.height - height))
    return photo.crop((left, top, left + width, top + height))


def aspect(photo: Image.Image, severity: float, rng: np.random.Generator) -> Image.Image:
    """Proportions changed by a factor of 1.1 to 1.4, or its inverse, at the same area."""
    root = math.sqrt(factor(*ASPECT, severity, rng))
    return photo.resize((round(photo.width * root), round(photo.height / root)), pick(_FILTERS, rng))


def rotation(photo: Image.Image, severity: float, rng: np.random.Generator) -> Image.Image:
    """By 2 to 18° either way: whole with filled corners, or the inside in the photo's own proportions."""
    degrees = amount(2, 18, severity, rng) * pick((-1, 1), rng)
    inside, whole = rng.random() < 0.5, rng.random() < 0.5
    fill = pick(((0, 0, 0), (255, 255, 255), (128, 128, 128)), rng)
    width, height = photo.size
    sine, cosine = abs(math.sin(math.radians(degrees))), math.cos(math.radians(degrees))
    share = min(width / (width * cosine + height * sine), height / (width * sine + height * cosine))
    if not inside or share < SMALLEST_INSIDE:
        return photo.rotate(degrees, Image.Resampling.BILINEAR, expand=whole, fillcolor=fill)
    left, top = math.ceil(width * (1 - share) / 2), math.ceil(height * (1 - share) / 2)
    turned = photo.rotate(degrees, Image.Resampling.BILINEAR)
    return turned.crop((left, top, width - left, height - top))


def perspective(photo: Image.Image, severity: float, rng: np.random.Generator) -> Image.Image:
    """One side of what is seen is shorter by 8 to 25 %, as of a print photographed aslant; nothing is filled."""
    depth = amount(0.08, 0.25, severity, rng)
    corners = np.array([[0, 0], [1, 0], [1, 1], [0, 1]], np.float64)  # (x, y), clockwise from the upper left
    inward = 1 - 2 * corners
    side = int(rng.integers(4))
    corners += inward * rng.uniform(0, depth / 5, (4, 2))
    ends = [side, (side + 1) % 4]
    corners[ends, side % 2] += inward[ends, side % 2] * depth * rng.uniform(0.4, 0.6, 2)
    return photo.transform(
        photo.size, Image.Transform.PERSPECTIVE, _to_quadrilateral(corners, photo.size), Image.Resampling.BILINEAR
    )


def _to_quadrilateral(corners: NDArray[np.float64], size: tuple[int, int]) -> tuple[float, ...]:
    """Pillow's eight coefficients that take a picture's corners to these (Heckbert 1989, section 2.2).

    corners: (4, 2), (x, y) in units of the picture's size, clockwise from the upper left.
    """
    width, height = size
    (x0, y0), (x1, y1), (x2, y2), (x3, y3) = (corners * [width, height]).tolist()
    right, down, skew = (x1 - x2, y1 - y2), (x3 - x2, y3 - y2), (x0 - x1 + x2 - x3, y0 - y1 + y2 - y3)
    scale = right[0] * down[1] - down[0] * right[1]
    g = (skew[0] * down[1] - down[0] * skew[1]) / scale
    h = (right[0] * skew[1] - skew[0] * right[1]) / scale
    first = ((x1 - x0 + g * x1) / width, (x3 - x0 + h * x3) / height, x0)
    second = ((y1 - y0 + g * y1) / width, (y3 - y0 + h * y3) / height, y0)
    return (*first, *second, g / width, h / height)


def brightness(photo: Image.Image, severity: float, rng: np.random.Generator) -> Image.Image:
    return _curve(photo, _LEVELS * factor(1.15, 1.8, severity, rng))


def contrast(photo: Image.Image, severity: float, rng: np.random.Generator) -> Image.Image:
    """Around the photo's mean luma."""
    middle = float(np.asarray(photo.convert("L")).mean())
    return _curve(photo, middle + (_LEVELS - middle) * factor(1.2, 2.2, severity, rng))


def gamma(photo: Image.Image, severity: float, rng: np.random.Generator) -> Image.Image:
    return _curve(photo, 255 * (_LEVELS / 255) ** factor(1.2, 2.2, severity, rng))


def tone(photo: Image.Image, severity: float, rng: np.random.Generator) -> Image.Image:
    """Gamma, contrast and brightness together, each at 0.7 of the severity: at its full all three burn out."""
    for edit in (gamma, contrast, brightness):
        photo = edit(photo, 0.7 * severity, rng)
    return photo


def saturation(photo: Image.Image, severity: float, rng: np.random.Generator) -> Image.Image:
    mild, strong = pick(((1.4, 2.2), (0.65, 0.15)), rng)
    return ImageEnhance.Color(photo).enhance(amount(mild, strong, severity, rng))


def hue(photo: Image.Image, severity: float, rng: np.random.Generator) -> Image.Image:
    """All hues turned by 8 to 50° either way, luma kept."""
    angle = math.radians(amount(8, 50, severity, rng)) * pick((-1, 1), rng)
    return _mix(photo, _HUE_LUMA + math.cos(angle) * _HUE_COSINE + math.sin(angle) * _HUE_SINE)


def greyscale(photo: Image.Image, severity: float, rng: np.random.Generator) -> Image.Image:
    """No colour at any severity; contrast goes with it."""
    return contrast(photo.convert("L").convert("RGB"), 0.7 * severity, rng)


def sepia(photo: Image.Image, severity: float, rng: np.random.Generator) -> Image.Image:
    share = amount(0.5, 1, severity, rng)
    return _mix(photo, (1 - share) * np.eye(3) + share * _SEPIA)


def tint(photo: Image.Image, severity: float, rng: np.random.Generator) -> Image.Image:
    """A warm, cold, green or purple cast of 6 to 25 %."""
    cast = pick(((1, 0, -1), (-1, 0, 1), (-0.5, 1, -0.5), (0.5, -1, 0.5)), rng)
    return _curve(photo, *(_LEVELS * gain for gain in 1 + amount(0.06, 0.25, severity, rng) * np.array(cast)))


def colour(photo: Image.Image, severity: float, rng: np.random.Generator) -> Image.Image:
    """Saturation, hue and tint together, each at 0.4 of the severity: they add up to unlikely colours."""
    for edit in (saturation, hue, tint):
        photo = edit(photo, 0.4 * severity, rng)
    return photo


def blur(photo: Image.Image, severity: float, rng: np.random.Generator) -> Image.Image:
    """Gaussian, box or motion, of a radius of 0.3 to 1.5 % of the longer side."""
    radius = max(0.7, amount(0.003, 0.015, severity, rng) * max(photo.size))
    kind, angle = pick(("gaussian", "box", "motion"), rng), rng.uniform(0, math.pi)
    if kind == "motion":
        return _smear(photo, max(2, round(3 * radius)), angle)
    kernel = ImageFilter.GaussianBlur(radius) if kind == "gaussian" else ImageFilter.BoxBlur(1.5 * radius)
    return photo.filter(kernel)


def sharpen(photo: Image.Image, severity: float, rng: np.random.Generator) -> Image.Image:
    percent, radius = amount(100, 500, severity, rng), rng.uniform(1, 2.5)
    return photo.filter(ImageFilter.UnsharpMask(radius, round(percent), threshold=0))


def noise(photo: Image.Image, severity: float, rng: np.random.Generator) -> Image.Image:
    """Gaussian, σ 6 to 36 of 255, grey or coloured."""
    return _add_noise(photo, amount(6, 36, severity, rng), pick((1, 3), rng), rng)


def salt(photo: Image.Image, severity: float, rng: np.random.Generator) -> Image.Image:
    """1 to 8 % of the pixels white, black or either."""
    share, kind = amount(0.01, 0.08, severity, rng), pick(("salt", "pepper", "both"), rng)
    white = {"salt": share, "pepper": 0, "both": share / 2}[kind]
    draws, pixels = rng.random((photo.height, photo.width), np.float32), np.array(photo)
    pixels[draws < share] = 0
    pixels[draws < white] = 255
    return Image.fromarray(pixels)


def downscale(photo: Image.Image, severity: float, rng: np.random.Generator) -> Image.Image:
    """To 60 to 15 % of the width and height; in half of the cases scaled back up."""
    scale = amount(0.6, 0.15, severity, rng)
    down, up, back = pick(_FILTERS, rng), pick(_FILTERS, rng), rng.random() < 0.5
    small = photo.resize(_scaled(photo, scale), down)
    return small.resize(photo.size, up) if back else small


def thumbnail(photo: Image.Image, severity: float, rng: np.random.Generator) -> Image.Image:
    """80 to 50 pixels on the longer side, noisy, then JPEG; it stays that small."""
    side = round(amount(*THUMBNAIL_SIDE, severity, rng))
    sigma, quality = amount(4, 14, severity, rng), amount(70, 35, severity, rng)
    channels, kernel = pick((1, 3), rng), pick(_FILTERS, rng)
    small = photo.resize(_scaled(photo, side / max(photo.size)), kernel)
    return _recompress(_add_noise(small, sigma, channels, rng), "JPEG", quality=round(quality))


def jpeg(photo: Image.Image, severity: float, rng: np.random.Generator) -> Image.Image:
    """Quality 60 to 10, with colours halved or not."""
    quality, subsampling = round(amount(60, 10, severity, rng)), pick((0, 2), rng)
    return _recompress(photo, "JPEG", quality=quality, subsampling=subsampling)


def webp(photo: Image.Image, severity: float, rng: np.random.Generator) -> Image.Image:
    """Quality 60 to 10, by the fastest method."""
    return _recompress(photo, "WEBP", quality=round(amount(60, 10, severity, rng)), method=0)


def _recompress(photo: Image.Image, kind: str, **options: int) -> Image.Image:
    buffer = io.BytesIO()
    photo.save(buffer, kind, **options)
    with Image.open(buffer, formats=(kind,)) as file:
        return file.convert("RGB")


def _scaled(photo: Image.Image, scale: float) -> tuple[int, int]:
    return max(1, round(photo.width * scale)), max(1, round(photo.height * scale))


def _curve(photo: Image.Image, *levels: NDArray[np.float64]) -> Image.Image:
    """Each grey level of each channel → another: one table (256,) for all channels, or three."""
    table = np.clip(np.rint(np.concatenate(levels)), 0, 255).astype(int)
    return photo.point(np.tile(table, 3 // len(levels)).tolist())


def _mix(photo: Image.Image, matrix: NDArray[np.float64]) -> Image.Image:
    """Each colour as a sum of the old ones; matrix (3, 3)."""
    rows = np.column_stack([matrix, np.zeros(3)])
    return photo.convert("RGB", tuple(rows.ravel().tolist()))


def _add_noise(photo: Image.Image, sigma: float, channels: int, rng: np.random.Generator) -> Image.Image:
    draws = rng.standard_normal((photo.height, photo.width, channels), np.float32)
    draws *= np.float32(sigma)
    pixels = np.asarray(photo) + draws
    return Image.fromarray(np.clip(np.rint(pixels, out=pixels), 0, 255, out=pixels).astype(np.uint8))


def _smear(photo: Image.Image, length: int, angle: float) -> Image.Image:
    """The mean of `length` + 1 copies moved along a line, the edges repeated."""
    width, height = photo.size
    padded = np.pad(np.asarray(photo), ((length, length), (length, length), (0, 0)), "edge")
    total = np.zeros((height, width, 3), np.uint16)
    for step in np.linspace(-length / 2, length / 2, length + 1):
        row, column = length + round(step * math.sin(angle)), length + round(step * math.cos(angle))
        total += padded[row : row + height, column : column + width]
    return Image.fromarray((total // (length + 1)).astype(np.uint8))
