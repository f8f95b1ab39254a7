"""Interrupts in the processes that tests start."""

from __future__ import annotations

import signal


def heed_interrupts() -> None:
    """Have this process, and those that it starts, heed Ctrl-C. A script's shell starts what runs in its background
    with interrupts ignored, as in `make check &`, and children inherit that."""
    if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
