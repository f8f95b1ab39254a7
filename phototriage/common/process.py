"""Processes and threads on the operating system: their end, and the cores that they run on."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

# Libraries that would start a thread for each core in every process.
ONE_THREAD = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
_PR_SET_PDEATHSIG = 1  # <linux/prctl.h>


def end_with_parent() -> None:
    """Have the kernel send SIGTERM to this process when its parent dies, however that happens. On Linux only."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


def has_terminal() -> bool:
    """Whether this process has a terminal that controls it. One that has been closed is none."""
    try:
        os.close(os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY))
    except OSError:
        return False
    return True


@contextmanager
def environment_of_workers() -> Iterator[None]:
    """The environment of processes that are started meanwhile: one thread for each library, and this package in the
    search path, rather than a folder of its name in the working directory, where Python looks first."""
    python_path = os.environ.get("PYTHONPATH")
    changes = dict.fromkeys(ONE_THREAD, "1") | {
        "PYTHONSAFEPATH": "1",
        "PYTHONPATH": str(Path(__file__).parents[2]) + (os.pathsep + python_path if python_path else ""),
    }
    before = {name: os.environ.get(name) for name in changes}
    os.environ.update(changes)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


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
