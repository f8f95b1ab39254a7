"""How the C library keeps memory that was freed: large blocks go back to the system at once, smaller ones are kept."""

from __future__ import annotations

import ctypes

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # <malloc.h> of glibc
LARGE_BYTES = 4 << 20  # pixels of a megapixel as Pillow holds them
KEPT_BYTES = 2 * LARGE_BYTES  # of a thread's freed memory


def give_back_large_blocks() -> bool:
    """Have blocks from LARGE_BYTES on taken from the system one by one, as glibc does until it has seen some freed:
    from then on it keeps up to 32 MB of each thread for the next ones. A server that has once decoded large images
    would hold them for ever. Smaller blocks are kept up to KEPT_BYTES: to give 128 KB back at a time, as is usual, and
    to take them again costs a 12-megapixel image 3 ms. Returns whether the C library is one that can be told so."""
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):  # not glibc
        return False
    return bool(mallopt(_M_MMAP_THRESHOLD, LARGE_BYTES)) and bool(mallopt(_M_TRIM_THRESHOLD, KEPT_BYTES))
