"""The Content-Disposition of a form's part: its kind, its name and its file's name, as clients of many kinds write it.

RFC 7578 has a file's name in quotes and in UTF-8. Some clients escape quotes in it by a backslash, some (and WHATWG) by
%22, some write backslashes as they are, and older ones write names that aren't ASCII by RFC 8187.
"""

from __future__ import annotations

import re
from typing import NamedTuple
from urllib.parse import unquote_to_bytes

from phototriage.common.errors import MalformedRequest

CHARSETS = ("utf-8", "iso-8859-1")  # of RFC 8187's names
REMEDY = "Send filename=\"NAME\", or filename*=UTF-8''NAME with its bytes percent-encoded."

# A quote ends a value only where the value may end: some clients escape none.
_END = r'"[ \t]*(?=;|\Z)'
_PARAMETER = re.compile(r'[ \t]*([^=; \t"]+)[ \t]*=[ \t]*', re.DOTALL)
_QUOTED = re.compile(rf'"((?:[^"\\]|\\.|(?!{_END})")*){_END}', re.DOTALL)
_CLOSING = re.compile(_END)
_ESCAPE = re.compile(r'\\(["\\])')
_PERCENT = re.compile(
    "%(?:22|0A|0D)", re.IGNORECASE
)  # what WHATWG escapes in a name; other percents are the name's own
_EXTENDED = re.compile(r"([^']*)'[^']*'((?:[^%]|%[0-9A-Fa-f]{2})*)", re.DOTALL)


class Disposition(NamedTuple):
    """`kind` is in small letters, and form-data in a form. `file_name` is None where the part is no file."""

    kind: str
    name: str
    file_name: str | None


def read(header: bytes) -> Disposition:
    """Raises MalformedRequest where a file's name is by RFC 8187, can't be read, and isn't there in plain, too."""
    # Any bytes come through as they are: each text is decoded when it is known where it ends.
    kind, _, rest = header.decode("latin-1").partition(";")
    values = _parameters(rest)
    name = _plain(values.get("name", ""))
    file_name = None if "filename" not in values else _plain(values["filename"])
    extended = None if "filename*" not in values else _extended(values["filename*"])
    if extended is None and file_name is None and any(key.startswith("filename*") for key in values):
        shown = next(f"{key}={value}" for key, value in values.items() if key.startswith("filename*"))
        raise MalformedRequest(f"The part {name[:64]!r} has {shown[:64]!r}, which can't be read. {REMEDY}")
    return Disposition(kind.strip(" \t").lower(), name, file_name if extended is None else extended)


def _parameters(text: str) -> dict[str, str]:
    """Each parameter's value, as it was sent but for the quotes around it and for escapes in these."""
    values: dict[str, str] = {}
    at = 0
    while at < len(text):
        parameter = _PARAMETER.match(text, at)
        if parameter is None:  # no name and no value: passed over
            at = _semicolon(text, at) + 1
            continue
        value, end = _value(text, parameter.end())
        values[parameter[1].lower()] = value
        at = end + 1
    return values


def _value(text: str, at: int) -> tuple[str, int]:
    """The value that begins there, and where it ends."""
    if not text.startswith('"', at):
        end = _semicolon(text, at)
        return text[at:end].strip(" \t"), end
    if quoted := _QUOTED.match(text, at):
        return _ESCAPE.sub(r"\1", quoted[1]), quoted.end()
    # The name ends in a backslash, which escapes nothing then, or nothing closes it.
    closing = _CLOSING.search(text, at + 1)
    begin, end = (len(text), len(text)) if closing is None else closing.span()
    return text[at + 1 : begin], end


def _semicolon(text: str, at: int) -> int:
    """Where the next one is, or the text's end."""
    found = text.find(";", at)
    return len(text) if found < 0 else found


def _plain(value: str) -> str:
    """A parameter's value as text, without the folders that browsers on Windows once sent along."""
    text = value.encode("latin-1").decode("utf-8", "replace")
    text = _PERCENT.sub(lambda escape: chr(int(escape[0][1:], 16)), text)
    return text.rpartition("\\")[2] if text[1:3] == ":\\" or text.startswith("\\\\") else text


def _extended(value: str) -> str | None:
    """A parameter's value by RFC 8187, 3.2; None if it isn't one."""
    match = _EXTENDED.fullmatch(value)
    if match is None or match[1].lower() not in CHARSETS:
        return None
    try:
        return unquote_to_bytes(match[2].encode("latin-1")).decode(match[1])
    except UnicodeDecodeError:
        return None
