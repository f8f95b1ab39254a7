"""An 8-bit grey PNG encoder that is fast for masks, which are smooth from row to row or constant over large areas."""

from __future__ import annotations

import struct
import zlib

import numpy as np
from numpy.typing import NDArray

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_GREY, _UP = 0, 2  # colour type; filter type (PNG specification, 9.2): each row less the one above it


def encode(mask: NDArray[np.uint8]) -> bytes:
    """uint8 (H, W) → the bytes of a PNG file.

    One filter for all rows. Run-length encoding where most of the mask is constant, and else Huffman codes only, which
    take two thirds of the time of full compression for files 6% larger. Pillow tries five filters on each row, and
    takes two to ten times as long.
    """
    height, width = mask.shape
    rows = np.empty((height, width + 1), np.uint8)
    rows[:, 0] = _UP
    rows[0, 1:] = mask[0]
    np.subtract(mask[1:], mask[:-1], out=rows[1:, 1:])  # modulo 256, as the filter is defined
    is_flat = 2 * np.count_nonzero(rows[:, 1:]) < mask.size
    strategy = zlib.Z_RLE if is_flat else zlib.Z_HUFFMAN_ONLY
    compressor = zlib.compressobj(1, zlib.DEFLATED, zlib.MAX_WBITS, 9, strategy)
    pixels = compressor.compress(rows.data) + compressor.flush()
    header = struct.pack(">IIBBBBB", width, height, 8, _GREY, 0, 0, 0)
    return _SIGNATURE + _chunk(b"IHDR", header) + _chunk(b"IDAT", pixels) + _chunk(b"IEND", b"")


def _chunk(kind: bytes, content: bytes) -> bytes:
    checksum = zlib.crc32(content, zlib.crc32(kind))
    return b"".join([struct.pack(">I", len(content)), kind, content, struct.pack(">I", checksum)])
