"""Processes and threads on the operating system: their end, and the cores that they run on."""

from __future__ import annotations

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1  # <linux/prctl.h>


def end_with_parent() -> None:
    """Have the kernel send SIGTERM to this process when its parent dies, however that happens. On Linux only."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


def current_core() -> int | None:
    """The core that the calling thread runs on; None where the system doesn't say."""
    return None if _getcpu is None else int(_getcpu())


def leave_core(core: int | None) -> None:
    """Move the calling thread to another core if it runs on that one, and may use others.

    The kernel sometimes wakes a thread on the core of the thread that woke it, where it waits for longer than an image
    takes although another core is idle.
    """
    if core is None or current_core() != core:
        return
    allowed = os.sched_getaffinity(0)
    if len(allowed) > 1:
        os.sched_setaffinity(0, allowed - {core})
        os.sched_setaffinity(0, allowed)


_getcpu = getattr(ctypes.CDLL(None), "sched_getcpu", None) if sys.platform == "linux" else None
