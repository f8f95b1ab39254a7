"""Image files made by code: good ones of every format that is read, and bad ones with the answer due."""

from __future__ import annotations

import io
import struct
import zlib
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from tests.heif_files import Part, Source, av1_sequence_header, box, grid, heic_file, size_property, write

BadFile = tuple[bytes, int, str]  # bytes, HTTP status, error code


def picture(height: int = 24, width: int = 32) -> NDArray[np.uint8]:
    """A colour picture (height, width, 3) uint8 RGB: two ramps and a checkerboard."""
    rows, columns = np.mgrid[0:height, 0:width]
    checks = (rows // 4 + columns // 4) % 2 * 255
    return np.stack([rows * 255 // height, columns * 255 // width, checks], axis=-1).astype(np.uint8)


def encode(image: Image.Image | NDArray[Any], kind: str, **options: Any) -> bytes:
    """Write the image in Pillow's format `kind`."""
    file = io.BytesIO()
    # A copy, since an image keeps encoder settings of one format that break the next.
    (image.copy() if isinstance(image, Image.Image) else Image.fromarray(image)).save(file, kind, **options)
    return file.getvalue()


def exif_block(orientation: int, order: str = ">") -> bytes:
    """An EXIF block with one entry, the orientation."""
    mark = b"MM" if order == ">" else b"II"
    return b"Exif\0\0" + mark + struct.pack(order + "HIHHHIHHI", 42, 8, 1, 0x0112, 3, 1, orientation, 0, 0)


def with_exif(jpeg: bytes, block: bytes) -> bytes:
    """Put an EXIF block behind a JPEG's first marker."""
    return jpeg[:2] + b"\xff\xe1" + struct.pack(">H", 2 + len(block)) + block + jpeg[2:]


def png_chunk(kind: bytes, content: bytes) -> bytes:
    checksum = zlib.crc32(kind + content)
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", checksum)


def png(width: int, height: int, depth: int, colour: int, rows: bytes, *chunks: bytes) -> bytes:
    """A PNG of raw rows, each with its filter byte; `chunks` go before the pixels."""
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    body = [
        png_chunk(b"IHDR", header),
        *chunks,
        png_chunk(b"IDAT", zlib.compress(rows)),
        png_chunk(b"IEND", b""),
    ]
    return b"\x89PNG\r\n\x1a\n" + b"".join(body)


def undated(content: bytes) -> bytes:
    """A film's file without the times at which it was made, so that it is the same each time."""
    changed = bytearray(content)
    for name in (b"mvhd", b"tkhd", b"mdhd"):
        place = content.find(name)
        assert place > 0
        size = 8 if content[place + 4] else 4  # by the box's version
        changed[place + 8 : place + 8 + 2 * size] = bytes(2 * size)
    return bytes(changed)


def good_files() -> dict[str, bytes]:
    """Small files of every format and oddity that is read, by name."""
    colours = Image.fromarray(picture())
    grey = colours.convert("L")
    palette = colours.quantize(16)
    alpha = colours.copy()
    alpha.putalpha(grey)
    wide = np.asarray(grey).astype(np.uint16) * 257
    turned = colours.transpose(Image.Transpose.ROTATE_180)
    frames = {
        kind: {"save_all": True, "append_images": [turned.copy()]} for kind in ("MPO", "PNG", "WEBP", "AVIF", "TIFF")
    }
    wide_rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in picture().astype(np.uint16) * 257)
    files = {
        "jpeg": encode(colours, "JPEG"),
        "jpeg_grey": encode(grey, "JPEG"),
        "jpeg_cmyk": encode(colours.convert("CMYK"), "JPEG"),
        "jpeg_progressive": encode(colours, "JPEG", progressive=True),
        "jpeg_profile": encode(colours, "JPEG", icc_profile=bytes(range(256)) * 300),
        "jpeg_multi_picture": encode(colours, "MPO", **frames["MPO"]),
        "png": encode(colours, "PNG"),
        "png_grey": encode(grey, "PNG"),
        "png_1_bit": encode(colours.convert("1"), "PNG"),
        "png_16_bit_grey": encode(wide, "PNG"),
        "png_16_bit_colour": png(32, 24, 16, 2, wide_rows),
        "png_alpha": encode(alpha, "PNG"),
        "png_grey_alpha": encode(alpha.convert("LA"), "PNG"),
        "png_palette": encode(palette, "PNG"),
        "png_palette_alpha": encode(palette, "PNG", transparency=bytes(range(0, 256, 16))),
        "png_animated": encode(colours, "PNG", **frames["PNG"]),
        "webp": encode(colours, "WEBP"),
        "webp_lossless": encode(colours, "WEBP", lossless=True),
        "webp_alpha": encode(alpha, "WEBP"),
        "webp_animated": encode(colours, "WEBP", **frames["WEBP"]),
        "avif": encode(colours, "AVIF"),
        "avif_grey": encode(grey, "AVIF"),
        "avif_alpha": encode(alpha, "AVIF"),
        "avif_animated": undated(encode(colours, "AVIF", **frames["AVIF"])),
        "heic": heic_file("photo"),
        "heic_alpha": heic_file("alpha"),
        "heic_grey_ten_bits": heic_file("grey_ten_bits"),
        "gif": encode(palette, "GIF"),
        "gif_transparent": encode(palette, "GIF", transparency=3),
        "gif_animated": encode(palette, "GIF", save_all=True, append_images=[turned.quantize(16)]),
        "bmp": encode(colours, "BMP"),
        "bmp_palette": encode(palette, "BMP"),
        "bmp_alpha": encode(alpha, "BMP"),
        "tiff": encode(colours, "TIFF"),
        "tiff_lzw": encode(colours, "TIFF", compression="tiff_lzw"),
        "tiff_jpeg": encode(colours, "TIFF", compression="jpeg"),
        "tiff_cmyk": encode(colours.convert("CMYK"), "TIFF"),
        "tiff_16_bit_grey": encode(wide, "TIFF"),
        "tiff_1_bit": encode(colours.convert("1"), "TIFF", compression="group4"),
        "tiff_frames": encode(colours, "TIFF", **frames["TIFF"]),
    }
    files |= {f"jpeg_orientation_{n}": with_exif(files["jpeg"], exif_block(n)) for n in range(1, 9)}
    return files


def bad_files() -> dict[str, BadFile]:
    """Files that have to be refused at the default limits, by name, with status and code."""
    return {
        **{name: (data, 415, "unsupported_image") for name, data in _foreign_files().items()},
        **{name: (data, 413, "too_large") for name, data in bombs().items()},
        **{name: (data, 422, "undecodable_image") for name, data in _broken_files().items()},
    }


def _foreign_files() -> dict[str, bytes]:
    """Other formats by their first bytes, and TIFFs whose pixels have no agreed range."""
    return {
        "text": b"just text",
        "one_byte": b"\xff",
        "pdf": b"%PDF-1.7\n",
        "eps": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 8\n",
        "svg": b'<svg xmlns="http://www.w3.org/2000/svg"/>',
        "html": b"<!doctype html><title>404</title>",
        "mp4": b"\0\0\0\x18ftypisom" + bytes(4) + b"isommp41" + bytes(40),
        "heif_of_jpeg": write(b"mif1", [Part(b"jpeg", b"", [size_property(24, 32)])]),
        "jpeg_2000": encode(picture(), "JPEG2000"),
        "psd": b"8BPS\0\1" + bytes(40),
        "ico": encode(picture(), "ICO"),
        "zip": b"PK\3\4" + bytes(40),
        "bigtiff": encode(picture(), "TIFF", big_tiff=True),
        "tiff_float": encode(picture()[..., 0].astype(np.float32), "TIFF"),
        "tiff_32_bit": encode(picture()[..., 0].astype(np.int32), "TIFF"),
    }


def bombs() -> dict[str, bytes]:
    """Small files (but for one) that ask for more bytes, pixels or work than the default limits allow."""
    jpeg, gif = encode(picture(), "JPEG"), encode(Image.fromarray(picture()).quantize(16), "GIF")
    frame, photo = jpeg.index(b"\xff\xc0"), Source.of(heic_file("photo"))
    return {
        "bytes": jpeg + bytes(20_000_000),
        "png_pixels": png(13_000, 13_000, 1, 0, bytes(1626 * 13_000)),
        "png_side": png(70_000, 1, 1, 0, bytes(8751)),
        "png_largest": png(2**31 - 1, 2**31 - 1, 16, 6, b""),
        "jpeg_pixels": jpeg[: frame + 5] + struct.pack(">HH", 65_500, 65_500) + jpeg[frame + 9 :],
        "jpeg_scans": with_scans(encode(picture(2000, 2000), "JPEG", progressive=True)),
        "gif_screen": gif[:6] + struct.pack("<HH", 65_535, 65_535) + gif[10:],
        "gif_frame": b"GIF89a\x08\0\x08\0\0\0\0!\xf9\4\x08\0\0\0\0,\0\0\0\0\xff\xff\xff\xff\0\2\0\0;",
        "webp_canvas": b"RIFF\x16\0\0\0WEBPVP8X\x0a\0\0\0\0\0\0\0" + b"\xff\x3f\0" * 2,
        "bmp_pixels": b"BM" + bytes(12) + struct.pack("<IiiHHI", 40, 30_000, -30_000, 1, 8, 1) + bytes(20),
        "tiff_pixels": tiff_directory({256: 60_000, 257: 60_000, 258: 1, 262: 1, 273: 8, 278: 60_000}),
        "avif_pixels": write(b"avif", [Part(b"av01", b"", [size_property(8_000, 8_000)])]),
        "avif_bitstream": write(b"avif", [Part(b"av01", av1_sequence_header(8_000, 8_000), [size_property(24, 32)])]),
        "heic_pixels": write(b"heic", [photo.part(ispe=size_property(8_000, 8_000))]),
        "heic_tiles": grid(b"heic", photo, 5, 5, 24, 32, ispe=size_property(7_000, 7_000)),
        "tiff_tile": tiff_directory({256: 8, 257: 8, 258: 8, 259: 5, 322: 60_000, 323: 60_000, 324: 8}),
    }


def with_scans(progressive: bytes) -> bytes:
    """Repeat the last scan of a progressive JPEG 300 times, cut to hardly anything."""
    scan = progressive[progressive.rindex(b"\xff\xda") : -2][:20]
    return progressive[:-2] + scan * 300 + progressive[-2:]


def tiff_directory(values: dict[int, int]) -> bytes:
    """A little-endian TIFF of nothing but 32-bit entries, by tag."""
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in sorted(values.items()))
    return b"II*\0" + struct.pack("<IH", 8, len(values)) + entries + bytes(4)


def shared_strips(count: int) -> bytes:
    """A grey TIFF of 16 columns, whose rows are strips of the same 16 bytes."""
    entries = {256: 16, 257: count, 258: 8, 259: 1, 262: 1, 277: 1, 278: 1}
    listed = 8 + 2 + 12 * (len(entries) + 2) + 4  # behind the directory: where each strip begins, then how long it is
    lines = [(tag, 4, 1, value) for tag, value in entries.items()]
    lines += [(273, 4, count, listed), (279, 4, count, listed + 4 * count)]
    directory = b"".join(struct.pack("<HHII", *line) for line in sorted(lines))
    places, lengths = struct.pack("<I", listed + 8 * count) * count, struct.pack("<I", 16) * count
    return b"II*\0" + struct.pack("<IH", 8, len(lines)) + directory + bytes(4) + places + lengths + bytes(16)


def _broken_files() -> dict[str, bytes]:
    """Files of formats that are read, but truncated, corrupt, or without a pixel."""
    good = good_files()
    jpeg, whole, gif = good["jpeg"], good["png"], good["gif"]
    frame = jpeg.index(b"\xff\xc0")
    pixel = b"\0\xff\xff\xff"
    in_half = {
        f"{name}_cut": good[name][: len(good[name]) // 2]
        for name in ("jpeg", "jpeg_progressive", "png", "webp", "avif", "heic", "gif", "bmp", "tiff", "tiff_lzw")
    }
    return in_half | {
        "empty": b"",
        "jpeg_marker_only": b"\xff\xd8\xff",
        "jpeg_without_scan": jpeg[: jpeg.index(b"\xff\xda")],
        "jpeg_of_height_0": jpeg[: frame + 5] + bytes(2) + jpeg[frame + 7 :],
        "jpeg_as_png": whole[:8] + jpeg,
        "png_signature_only": whole[:8],
        "png_of_width_0": png(0, 8, 8, 2, b""),
        "png_corrupt_pixels": whole[:60] + bytes(30) + whole[90:],
        "png_without_pixels": whole[:33] + png_chunk(b"IEND", b""),
        "png_chunk_bomb": png(1, 1, 8, 2, pixel, png_chunk(b"teSt", b"") * 60_000),
        "gif_block_bomb": gif[:61] + b"!\xfe" + b"\1a" * 60_000 + b"\0" + gif[61:],
        "gif_without_frame": b"GIF89a\x08\0\x08\0\0\0\0;",
        "webp_header_only": good["webp"][:12],
        "avif_of_no_picture": b"\0\0\0\x18ftypavif" + bytes(4) + b"mif1avif",
        "heic_box_bomb": heic_file("photo") + box(b"free") * 11_000,
        "bmp_of_no_known_header": b"BM" + bytes(12) + struct.pack("<Iii", 7, 8, 8) + bytes(60),
        "tiff_without_size": tiff_directory({258: 8}),
        "tiff_strip_bomb": tiff_directory({256: 8, 257: 8, 258: 8, 262: 1, 273: 8}).replace(
            struct.pack("<HHI", 273, 4, 1), struct.pack("<HHI", 273, 4, 60_000)
        )
        + bytes(240_000),
        "tiff_directory_outside": b"II*\0\xff\xff\xff\x7f",
    }
