"""The C library's policy for freed memory: large blocks return to the system at once, smaller ones are kept."""

from __future__ import annotations

import ctypes

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # <malloc.h> of glibc
LARGE_BYTES = 4 << 20  # a megapixel in Pillow's memory
MAX_KEPT_BYTES = 2 * LARGE_BYTES  # of a thread's freed memory


def give_back_large_blocks() -> bool:
    """Have glibc return freed blocks of LARGE_BYTES or more to the system at once. Returns whether it is glibc.

    By default glibc does so only until some were freed, and then keeps up to 32 MB for each thread: a server that has
    once decoded large images would never give that memory back. Of smaller blocks it keeps up to MAX_KEPT_BYTES here:
    the default, 128 KB, costs a 12-megapixel image 3 ms, since the memory is returned and taken again.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):  # not glibc
        return False
    return bool(mallopt(_M_MMAP_THRESHOLD, LARGE_BYTES)) and bool(mallopt(_M_TRIM_THRESHOLD, MAX_KEPT_BYTES))
