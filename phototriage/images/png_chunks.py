"""The chunks of a PNG that its pixels need.

Text, times, profiles and a camera's data may be of any size, compressed a thousandfold, or damaged. None of that is a
reason to refuse the pixels, or to spend memory on it, so the decoder doesn't see it.
"""

from __future__ import annotations

import zlib

SIGNATURE = b"\x89PNG\r\n\x1a\n"
_PIXELS = frozenset({b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND"})
_ORIENTATION, _PROFILE = b"eXIf", b"iCCP"
MAX_PROFILE_BYTES = 1 << 20  # inflated; Pillow refuses an image with a longer one


def pixel_chunks(png: bytes) -> bytes:
    """The PNG without chunks that say nothing of its pixels, or all of it if there are none.

    Kept are the size, palette, transparency and pixels, damaged ones too, and an EXIF block and a profile that are
    whole and of a usual size. Of an APNG the default image remains, which is what is seen where animations aren't
    shown; it need not be one of its frames.
    """
    view = memoryview(png)
    kept: list[tuple[int, int]] = [(0, len(SIGNATURE))]
    position, seen = len(SIGNATURE), set[bytes]()
    while position + 8 <= len(png):
        kind = png[position + 4 : position + 8]
        end = position + 12 + int.from_bytes(view[position : position + 4])
        keep = kind in _PIXELS
        if kind in (_ORIENTATION, _PROFILE) and kind not in seen:
            keep = _is_whole(view[position:end]) and (kind == _ORIENTATION or _is_profile(view[position + 8 : end - 4]))
            seen.add(kind)
        if keep and kept[-1][1] == position:
            kept[-1] = (kept[-1][0], end)
        elif keep:
            kept.append((position, end))
        position = end
        if kind == b"IEND":
            break
    if len(kept) == 1:
        return png
    return b"".join(view[start:end] for start, end in kept)


def _is_whole(chunk: memoryview) -> bool:
    length = int.from_bytes(chunk[:4])
    return len(chunk) == 12 + length and zlib.crc32(chunk[4:-4]) == int.from_bytes(chunk[-4:])


def _is_profile(content: memoryview) -> bool:
    """Whether Pillow can read a profile's chunk: a name of up to 79 bytes, the method 0, and what is deflated."""
    name, found, _ = bytes(content[:81]).partition(b"\0")
    if not found or bytes(content[len(name) + 1 : len(name) + 2]) != b"\0":
        return False
    inflater = zlib.decompressobj()
    try:
        inflater.decompress(content[len(name) + 2 :], MAX_PROFILE_BYTES)
    except zlib.error:
        return False
    return inflater.eof
