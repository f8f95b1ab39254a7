"""The log: a line of JSON for each answer, with the id that the answer has too, and nothing of what was sent."""

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
    """The W3C trace context of a request, which connects its log lines across services: the caller's trace, and this
    service's span in it."""

    trace_id: str
    span_id: str
    flags: str

    @property
    def header(self) -> bytes:
        """The value of a `traceparent` header."""
        return f"00-{self.trace_id}-{self.span_id}-{self.flags}".encode()


def trace_of(traceparent: bytes | None) -> Trace:
    """The caller's trace, if it sent a valid one, else a new one."""
    match = None if traceparent is None else _TRACEPARENT.fullmatch(traceparent)
    # A later version may have more fields, version 00 has none.
    if match is None or (traceparent is not None and traceparent.startswith(b"00") and match[3]):
        return Trace(secrets.token_hex(16), secrets.token_hex(8), "00")
    return Trace(match[1].decode(), secrets.token_hex(8), match[2].decode())


def write(trace: Trace, method: str, route: str, status: int, seconds: float) -> None:
    """Write a line to stderr. `method` and `route` are known ones or "other", never the caller's own text, so nothing
    needs to be escaped.

    The modules `logging` and `json` would take three times as long.
    """
    time = datetime.now(UTC).isoformat(timespec="milliseconds")
    level = "error" if status == 500 else "info"
    line = (
        f'{{"time": "{time}", "level": "{level}", "message": "answered", "request_id": "{trace.trace_id}", '
        f'"span_id": "{trace.span_id}", "method": "{method}", "route": "{route}", "status": {status}, '
        f'"milliseconds": {round(seconds * 1000, 2)}}}\n'
    )
    with suppress(OSError, ValueError):  # a log that can't be written must not fail the request
        if sys.stderr is not None:  # it is None in a program that was started without one
            sys.stderr.write(line)
