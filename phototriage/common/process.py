"""What a worker asks of the operating system."""

from __future__ import annotations

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1  # <linux/prctl.h>


def end_with_parent() -> None:
    """Have this process told to stop when its parent dies, however that happens. On Linux only."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


def current_core() -> int | None:
    """Which core the calling thread runs on; None where that can't be asked."""
    return None if _getcpu is None else int(_getcpu())


def leave_core(core: int | None) -> None:
    """Have the calling thread go on on another core than that one, if it may use any other.

    The kernel wakes a thread on its waker's core at times, where it waits for its turn beside an idle one for longer
    than an image takes.
    """
    if core is None or current_core() != core:
        return
    allowed = os.sched_getaffinity(0)
    if len(allowed) > 1:
        os.sched_setaffinity(0, allowed - {core})
        os.sched_setaffinity(0, allowed)


_getcpu = getattr(ctypes.CDLL(None), "sched_getcpu", None) if sys.platform == "linux" else None
