"""Names of files as text: a system's may be any bytes."""

from __future__ import annotations

import re

_SURROGATE = re.compile("[\ud800-\udfff]")


def printable(name: str) -> str:
    """The name as text that UTF-8 can hold: a byte that isn't UTF-8, which Python holds as a surrogate, becomes
    `\\xe9`; any other surrogate, as a store may send it, `\\ud83d`."""
    return _SURROGATE.sub(_escaped, name)


def _escaped(match: re.Match[str]) -> str:
    code = ord(match[0])
    return f"\\x{code - 0xDC00:02x}" if 0xDC80 <= code <= 0xDCFF else f"\\u{code:04x}"
