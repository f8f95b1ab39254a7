"""An image file's bytes → upright 8-bit pixels → a model's input, under limits checked before allocation.

Every model input is made by `prepare`, or by `decode_for` and `resize`, of which it consists. Colours are those of the
embedded profile, and sRGB without one (`profiles`): gamma chunks are ignored. Of several frames the first is used.
Transparency goes on white or dark grey (`transparency`).
"""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from PIL import AvifImagePlugin, Image, ImageFile, features
from PIL.AvifImagePlugin import AvifImageFile
from PIL.BmpImagePlugin import BmpImageFile
from PIL.GifImagePlugin import GifImageFile
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile
from PIL.TiffImagePlugin import TiffImageFile
from PIL.WebPImagePlugin import WebPImageFile

from phototriage.common.errors import TooLarge, UndecodableImage, UnsupportedImage
from phototriage.images import heic
from phototriage.images.geometry import Geometry, fit
from phototriage.images.headers import Header, read_header, read_orientation
from phototriage.images.heif_header import still_picture
from phototriage.images.input_config import InputConfig
from phototriage.images.jpeg_segments import readable_head
from phototriage.images.png_chunks import pixel_chunks
from phototriage.images.profiles import to_srgb
from phototriage.images.resampling import resample
from phototriage.images.tiff_directory import pixel_tags
from phototriage.images.transparency import on_ground
from phototriage.images.upright import Upright, reduced, whole

MAX_SIDE = 65_535  # the longest side that a JPEG can have; no other format needs a longer one
MAX_FULL_PASSES = 20  # over an image of as many pixels as are allowed; smaller images may take more
# A JPEG is decoded at a half, a quarter or an eighth of its size, which saves most of the work for a large one. Both
# sides keep at least OVERSAMPLING times the largest input's side, and MIN_REDUCED_SIDE pixels, so that the resize that
# follows hides the difference.
OVERSAMPLING = 2
MIN_REDUCED_SIDE = 512

# Image files are found by these suffixes; a file's format is determined by its bytes.
IMAGE_SUFFIXES = frozenset(
    [".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".avif", ".heic", ".heif", ".gif", ".bmp", ".tif", ".tiff"]
)

# Photos are decoded side by side; with threads of its own for each, a server would have too many.
AvifImagePlugin.DEFAULT_MAX_THREADS = 1

_TIFF_BITS, _TIFF_PHOTOMETRIC, _WHITE_IS_ZERO = 0x0102, 0x0106, 0


@dataclass(frozen=True)
class ImageLimits:
    """The most bytes of a file, and the most pixels of the image in it, whatever its proportions."""

    max_bytes: int = 20_000_000
    max_pixels: int = 50_000_000

    def __post_init__(self) -> None:
        bound = Image.MAX_IMAGE_PIXELS
        if bound is not None and self.max_pixels > bound:
            raise ValueError(f"max_pixels is {self.max_pixels}; above {bound} Pillow takes an image for a bomb")


@dataclass(frozen=True)
class Prepared:
    """A model's input, uint8 (config.height, config.width, config.channels), and its geometry in the upright image."""

    pixels: NDArray[np.uint8]
    geometry: Geometry

    @property
    def height(self) -> int:
        """Rows of the upright image."""
        return self.geometry.height

    @property
    def width(self) -> int:
        """Columns of the upright image."""
        return self.geometry.width


class _Jpeg(JpegImageFile):
    """A JPEG whose EXIF block Pillow doesn't parse, since it warns of a corrupt one, and warnings aren't
    thread-safe. This class also reads a multi-picture file as the JPEG that it starts with."""

    def getexif(self) -> Image.Exif:
        return Image.Exif()


_DECODERS: Mapping[str, type[ImageFile.ImageFile]] = {
    "JPEG": _Jpeg,
    "PNG": PngImageFile,
    "WebP": WebPImageFile,
    "AVIF": AvifImageFile,
    "GIF": GifImageFile,
    "BMP": BmpImageFile,
    "TIFF": TiffImageFile,
}
# What a file holds beside its pixels may be large, compressed or damaged; a decoder gets as little of it as can be.
_PIXELS_ONLY: Mapping[str, Callable[[bytes], bytes]] = {
    "JPEG": readable_head,
    "PNG": pixel_chunks,
    "AVIF": still_picture,
    "TIFF": pixel_tags,
}


def prepare(data: bytes, config: InputConfig, limits: ImageLimits) -> Prepared:
    """Turn an image file's bytes into a model's input. Errors as `decode`."""
    return resize(decode_for(data, [config], limits), config)


def decode(data: bytes, limits: ImageLimits) -> Image.Image:
    """Decode an image file to an upright Pillow image of mode RGB or, if it is grey, L; transparency on
    a ground that shows the content (`transparency`).

    Raises TooLarge (bytes, pixels), UnsupportedImage (format, or 32-bit pixels), UndecodableImage (truncated,
    corrupt, empty).
    """
    return decode_reduced(data, limits, None).image


def decode_for(data: bytes, configs: Sequence[InputConfig], limits: ImageLimits) -> Upright:
    """As `decode`, for the inputs of these configurations only: a large JPEG is decoded at a reduced size, in a
    fraction of the time."""
    sides = [max(config.height, config.width) for config in configs]
    return decode_reduced(data, limits, max(MIN_REDUCED_SIDE, OVERSAMPLING * max(sides)))


def decode_reduced(data: bytes, limits: ImageLimits, min_side: int | None) -> Upright:
    """As `decode`; with `min_side`, a JPEG is reduced as far as leaves both sides at least so many pixels."""
    if len(data) > limits.max_bytes:
        raise TooLarge(f"The image has {len(data)} bytes, and the limit is {limits.max_bytes}. Send a smaller file.")
    header = read_header(data)
    _check_decoder(header)
    _check_size(header, limits)
    try:
        if header.format == "HEIC":
            upright = whole(_flatten(heic.decode_heic(data)))
        else:
            upright = _decode(header, data, limits, min_side)
        return upright if header.frame is None else replace(upright, frame=header.frame)
    except (UnsupportedImage, UndecodableImage):
        raise
    except (MemoryError, Image.DecompressionBombError) as error:
        raise TooLarge(
            f"The {header.format} says {header.width}×{header.height} pixels, but takes more memory than the limit "
            f"of {limits.max_pixels} pixels allows. Save the image again."
        ) from error
    except Exception as error:
        # Damaged files make Pillow raise anything from SyntaxError to zlib.error, with memory addresses in the text.
        raise UndecodableImage(
            f"The {header.format} of {header.width}×{header.height} pixels is truncated or corrupt: "
            f"{len(data)} bytes came in. Send the whole file, or save the image again."
        ) from error


def _decode(header: Header, data: bytes, limits: ImageLimits, min_side: int | None) -> Upright:
    """By Pillow, which raises anything for a damaged file."""
    pixels_only = _PIXELS_ONLY.get(header.format)
    content = pixels_only(data) if pixels_only else data
    with _DECODERS[header.format](io.BytesIO(content)) as file:
        if file.width * file.height > limits.max_pixels:
            raise Image.DecompressionBombError
        size, draft = file.size, None
        if isinstance(file, JpegImageFile):
            # Pillow would feed 64 KB at a time, and take Python's lock anew for each. Other formats keep that: if
            # their pixels are in many blocks, each block would copy all that follows.
            file.decodermaxblock = len(data)
            if min_side is not None:
                draft = file.draft(None, (min_side, min_side))
        file.load()
        image, orientation = _flatten(file), read_orientation(_exif(file))
        if draft is None or image.size == size:
            return whole(image, orientation)
        return reduced(image, orientation, size, draft[1][2:])


def resize(image: Upright | Image.Image | NDArray[np.uint8], config: InputConfig) -> Prepared:
    """Resize an upright image to a model's input: decoded, Pillow RGB or L, or uint8 (H, W, 3) RGB or (H, W) grey.

    Grey is Pillow's luma, (299 R + 587 G + 114 B) / 1000, taken before the resize.
    """
    if not isinstance(image, Upright):
        image = whole(image if isinstance(image, Image.Image) else Image.fromarray(image))
    return _resize(image, config)


def _resize(upright: Upright, config: InputConfig) -> Prepared:
    image = upright.image
    if image.mode not in ("RGB", "L"):
        raise ValueError(f"An image of mode {image.mode} can't be resized: decode it to RGB or L")
    if config.colour == "grey" and image.mode != "L":
        image = image.convert("L")
    geometry = fit(upright.height, upright.width, config)
    source, target = upright.part(geometry.source), geometry.target
    image = resample(image, source, int(target.height), int(target.width), config.resize)
    if config.colour == "rgb" and image.mode != "RGB":
        image = image.convert("RGB")
    pixels = np.array(image).reshape(image.height, image.width, config.channels)
    if image.size != (config.width, config.height):
        canvas = np.full((config.height, config.width, config.channels), 255, np.uint8)
        canvas[int(target.top) : int(target.bottom), int(target.left) : int(target.right)] = pixels
        pixels = canvas
    return Prepared(pixels, geometry)


def _check_decoder(header: Header) -> None:
    """Refuse by name what this installation can't decode."""
    if header.format == "HEIC" and not heic.IS_THERE:
        raise UnsupportedImage(
            "The image is a HEIC, and no decoder for it is installed: pip install 'phototriage[heic]', or save it as "
            "JPEG."
        )
    if header.format == "AVIF" and not features.check("avif"):
        raise UnsupportedImage(
            "The image is an AVIF, which the Pillow that is installed can't decode: install another build of it, or "
            "save the image as JPEG or WebP."
        )
    if header.format not in _DECODERS and header.format != "HEIC":
        raise UnsupportedImage(
            f"The image is a {header.format}, and of HEIF only pictures of hvc1 (HEIC) and av01 (AVIF) are decoded. "
            "Save it as JPEG."
        )


def _check_size(header: Header, limits: ImageLimits) -> None:
    """Refuse by the header alone, before any memory is taken."""
    size = f"The {header.format} has {header.width}×{header.height} pixels"
    pixels = header.height * header.width
    if pixels > limits.max_pixels:
        raise TooLarge(f"{size}, {pixels} in all, and the limit is {limits.max_pixels}. Send a smaller image.")
    if max(header.height, header.width) > MAX_SIDE:
        raise TooLarge(f"{size}, and the limit of a side is {MAX_SIDE}. Send a part of the image.")
    if header.tile_pixels > limits.max_pixels:
        raise TooLarge(
            f"{size} in tiles of {header.tile_pixels}, and the limit is {limits.max_pixels}. "
            "Save it with smaller tiles."
        )
    if header.passes * pixels > MAX_FULL_PASSES * limits.max_pixels:
        parts, remedy = ("scans", "as a baseline JPEG") if header.format == "JPEG" else ("layers", "without tiles")
        raise TooLarge(
            f"{size} in {header.passes} {parts}, and the limit at this size is "
            f"{MAX_FULL_PASSES * limits.max_pixels // pixels}. Save it {remedy}."
        )


def _exif(file: ImageFile.ImageFile) -> bytes:
    # Pillow itself turns a TIFF upright while loading.
    exif = file.info.get("exif", b"")
    return exif if isinstance(exif, bytes) and file.format != "TIFF" else b""


def _flatten(file: Image.Image) -> Image.Image:
    """Bring a loaded image of any mode to RGB or L with 8 bits, in sRGB, without alpha."""
    profile = file.info.get("icc_profile")
    if file.mode.startswith("I;16"):
        return _opaque(to_srgb(_narrow(file), profile))
    has_transparency = "transparency" in file.info
    match file.mode:
        case "RGB" | "L" | "CMYK" if not has_transparency:
            # CMYK without a profile, or with one that is of no use, is plain ink.
            image = to_srgb(file, profile)
            return image.convert("RGB") if image.mode == "CMYK" else image
        case "1" if not has_transparency:
            return file.convert("L")
        case "YCbCr" | "P" if not has_transparency:
            return to_srgb(file.convert("RGB"), profile)
        case "LA" | "RGBA":
            return _opaque(to_srgb(file, profile))
        case "1" | "L" | "La":
            return _opaque(to_srgb(file.convert("LA"), profile))
        case "P" | "PA" | "RGB" | "RGBa":
            return _opaque(to_srgb(file.convert("RGBA"), profile))
    raise UnsupportedImage(
        f"The pixels are of kind {file.mode}, whose brightness has no agreed range or which is rare. "
        "Save the image as grey, RGB or CMYK with 8 or 16 bits a channel."
    )


def _opaque(image: Image.Image) -> Image.Image:
    return on_ground(image) if image.mode in ("LA", "RGBA") else image


def _narrow(file: Image.Image) -> Image.Image:
    """16-bit (or, in a TIFF, 12-bit) grey → L or LA by its high byte, as Pillow does with 16-bit colours.

    Pillow's own conversion clips at 255 instead, which turns nearly every pixel white.
    """
    wide = np.asarray(file)
    bits = file.tag_v2.get(_TIFF_BITS, (16,))[0] if isinstance(file, TiffImageFile) else 16
    narrow = (wide >> (bits - 8)).astype(np.uint8)
    if isinstance(file, TiffImageFile) and file.tag_v2.get(_TIFF_PHOTOMETRIC) == _WHITE_IS_ZERO:
        narrow = 255 - narrow
    if "transparency" not in file.info:
        return Image.fromarray(narrow)
    alpha = np.where(wide == file.info["transparency"], np.uint8(0), np.uint8(255))
    return Image.merge("LA", (Image.fromarray(narrow), Image.fromarray(alpha)))
