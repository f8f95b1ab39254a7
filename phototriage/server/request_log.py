"""A line of JSON for each answer, with the id that the answer bears too; nothing of what was sent."""

from __future__ import annotations

import re
import secrets
import sys
from contextlib import suppress
from datetime import UTC, datetime
from typing import NamedTuple

# version, trace id, parent id, flags: W3C Trace Context. Ids of zeros are invalid, and so is version ff.
_TRACEPARENT = re.compile(rb"(?!ff)[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-([0-9a-f]{2})(-.*)?")


class Trace(NamedTuple):
    """What ties a request's lines together over services: its trace, and this service's own step in it."""

    trace_id: str
    span_id: str
    flags: str

    @property
    def header(self) -> bytes:
        """As a W3C traceparent."""
        return f"00-{self.trace_id}-{self.span_id}-{self.flags}".encode()


def trace_of(traceparent: bytes | None) -> Trace:
    """The caller's trace, if it sent a valid one, else a new one."""
    found = None if traceparent is None else _TRACEPARENT.fullmatch(traceparent)
    # A later version may have more fields, version 00 has none.
    if found is None or (traceparent is not None and traceparent.startswith(b"00") and found[3]):
        return Trace(secrets.token_hex(16), secrets.token_hex(8), "00")
    return Trace(found[1].decode(), secrets.token_hex(8), found[2].decode())


def write(trace: Trace, method: str, route: str, status: int, seconds: float) -> None:
    """A line to stderr. `method` and `route` are ones that there are, or "other": nothing of it is the caller's own
    text, so that nothing needs escaping.

    Logging's records and JSON's encoder would take three times as long.
    """
    time = datetime.now(UTC).isoformat(timespec="milliseconds")
    level = "error" if status == 500 else "info"
    line = (
        f'{{"time": "{time}", "level": "{level}", "message": "answered", "request_id": "{trace.trace_id}", '
        f'"span_id": "{trace.span_id}", "method": "{method}", "route": "{route}", "status": {status}, '
        f'"milliseconds": {round(seconds * 1000, 2)}}}\n'
    )
    with suppress(OSError, ValueError):  # a log that nobody can take any more is no reason to answer nothing
        if sys.stderr is not None:  # as it is where a program begins without one
            sys.stderr.write(line)
