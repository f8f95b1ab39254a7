"""By when a request has to be answered."""

from __future__ import annotations

import asyncio
from time import monotonic


class Deadline:
    """One moment, by the clock of the event loop and by the one that threads read."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.on_loop = asyncio.get_running_loop().time() + seconds
        self.at = monotonic() + seconds
