"""A multipart/form-data body of known parts, each within its limit. Any other part is refused when it begins."""

from __future__ import annotations

import logging
import weakref
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from python_multipart import MultipartParser
from python_multipart.exceptions import FormParserError

from phototriage.common.errors import MalformedRequest, TooLarge
from phototriage.contract.parts import ADDRESSES, NOT_FETCHED
from phototriage.server import disposition

MAX_PART_HEADERS = 16
MAX_FILE_NAME = 513  # characters of a file's name in an answer: more than a photo's id may have
MAX_PART_HEADER_BYTES = 4096
MIN_VIEW_BYTES = 16_384  # fewer bytes are copied


# The parser logs each malformed request as a warning, with bytes that the client sent.
logging.getLogger("python_multipart").setLevel(logging.ERROR)


@dataclass(frozen=True)
class Field:
    """A part that a form may have, of up to `limit` bytes. Images have to be files: a text in their place might be an
    address to fetch."""

    name: str
    limit: int
    may_be_text: bool = False


@dataclass(frozen=True)
class FormSchema:
    """What parts a form has: exactly one field of each of `sides`, in any order; or, if `max_parts` is more than 1, one
    to so many parts of its only field. `expected` says so in an error."""

    sides: tuple[tuple[Field, ...], ...]
    expected: str
    max_parts: int = 1

    def find(self, name: str) -> tuple[tuple[Field, ...], Field] | None:
        """The field of that name, and its side; None if there is none."""
        return next(((side, field) for side in self.sides for field in side if field.name == name), None)


class Body:
    """Bytes that come in as chunks, up to a limit. `name` is what an error calls them."""

    def __init__(self, name: str, limit: int) -> None:
        self.limit = limit
        self._name = name
        self._chunks: list[bytes | memoryview] = []
        self._size = 0

    def add(self, chunk: bytes | memoryview) -> None:
        """Raises TooLarge."""
        self._size += len(chunk)
        if self._size > self.limit:
            raise TooLarge(
                f"The {self._name} has more than {self.limit} bytes, which is the limit. Send a smaller one."
            )
        self._chunks.append(chunk)

    def joined(self) -> bytes:
        return b"".join(self._chunks)


class File(Body):
    """One of many files. One that is too large isn't kept, but doesn't refuse the others: `refused` says why."""

    def __init__(self, name: str, limit: int) -> None:
        super().__init__("image", limit)
        self.name = name
        self.refused: TooLarge | None = None

    def add(self, chunk: bytes | memoryview) -> None:
        if self.refused is None:
            try:
                super().add(chunk)
            except TooLarge as error:
                self.refused = error
                self._chunks.clear()


class Form:
    """Parses a body that comes in chunks of any size. Raises MalformedRequest and TooLarge as early as it can."""

    def __init__(self, boundary: bytes, schema: FormSchema) -> None:
        if not boundary:
            raise MalformedRequest(f"The Content-Type multipart/form-data has no boundary. {schema.expected}.")
        # The parser refers to its callbacks: a reference cycle would keep the body until the next garbage collection.
        weak = weakref.proxy(self)
        callbacks: Mapping[str, Callable[..., None]] = {
            "on_part_begin": lambda: weak._begin_part(),
            "on_header_field": lambda data, start, end: weak._field.extend(data[start:end]),
            "on_header_value": lambda data, start, end: weak._value.extend(data[start:end]),
            "on_header_end": lambda: weak._end_header(),
            "on_headers_finished": lambda: weak._end_headers(),
            "on_part_data": lambda data, start, end: weak._body.add(_view(data, start, end)),
            "on_end": lambda: weak._end(),
        }
        try:
            self._parser = MultipartParser(
                boundary,
                callbacks,  # type: ignore[arg-type]  # its type names every callback, also those not needed
                max_header_count=MAX_PART_HEADERS,
                max_header_size=MAX_PART_HEADER_BYTES,
            )
        except FormParserError as error:
            raise MalformedRequest("The multipart boundary is too long: 256 characters is the limit.") from error
        self._schema = schema
        self._bodies: dict[str, Body] = {}
        self.files: list[File] = []  # if the schema allows several
        self._body = Body("part", 0)  # of the current part
        self._headers: dict[bytes, bytes] = {}
        self._field, self._value = bytearray(), bytearray()
        self._complete = False

    def write(self, chunk: bytes) -> None:
        """Parse the next chunk of the body."""
        try:
            self._parser.write(chunk)
        except FormParserError as error:
            raise MalformedRequest(
                "The body doesn't follow multipart/form-data with the boundary that the Content-Type names. "
                f"{self._schema.expected}."
            ) from error

    def finish(self) -> dict[str, bytes]:
        """The parts' bytes, by name, at the end of the body; those of several files are in `files`."""
        if not self._complete:
            raise MalformedRequest(
                "The body ends before its closing multipart boundary. Send it whole, with the boundary that the "
                "Content-Type names."
            )
        if not self._bodies and not self.files:
            raise MalformedRequest(f"The form has no parts. {self._schema.expected}.")
        for side in () if self.files else self._schema.sides:
            names = [field.name for field in side]
            if not any(name in self._bodies for name in names):
                raise MalformedRequest(f"The form has no part named {_either(names)}. {self._schema.expected}.")
        return {name: body.joined() for name, body in self._bodies.items()}

    def _begin_part(self) -> None:
        self._headers.clear()

    def _end_header(self) -> None:
        self._headers[bytes(self._field).lower()] = bytes(self._value)
        self._field.clear()
        self._value.clear()

    def _end_headers(self) -> None:
        kind, name, file_name = disposition.read(self._headers.get(b"content-disposition", b""))
        match = self._schema.find(name)
        if kind == "form-data" and name.lower() in ADDRESSES:
            raise MalformedRequest(f"The form has a part named {name!r}. {NOT_FETCHED}. {self._schema.expected}.")
        if kind != "form-data" or match is None:
            raise MalformedRequest(f"The form has a part named {name[:64]!r}. {self._schema.expected}.")
        side, field = match
        if not field.may_be_text and file_name is None:
            raise MalformedRequest(
                f"The part {name!r} is a text field, not a file. {NOT_FETCHED}. {self._schema.expected}."
            )
        encoding = self._headers.get(b"content-transfer-encoding", b"binary").strip().lower()
        if encoding not in (b"binary", b"8bit", b"7bit"):
            raise MalformedRequest(f"The part {name!r} is encoded. Send the bytes as they are.")
        if self._schema.max_parts > 1:
            self._body = self._next_file(file_name or "", field)
            return
        self._refuse_second(side, field)
        self._body = self._bodies[name] = Body(name, field.limit)

    def _next_file(self, name: str, field: Field) -> File:
        if len(self.files) == self._schema.max_parts:
            raise TooLarge(
                f"The form has more than {self._schema.max_parts} parts named {field.name!r}, which is the limit. "
                "Send several requests."
            )
        self.files.append(File(name[:MAX_FILE_NAME], field.limit))
        return self.files[-1]

    def _refuse_second(self, side: tuple[Field, ...], field: Field) -> None:
        if field.name in self._bodies:
            raise MalformedRequest(f"The form has more than one part named {field.name!r}. {self._schema.expected}.")
        for other in side:
            if other.name in self._bodies:
                raise MalformedRequest(f"The form has both {other.name!r} and {field.name!r}. {self._schema.expected}.")

    def _end(self) -> None:
        self._complete = True


def _view(data: bytes, start: int, end: int) -> bytes | memoryview:
    """The bytes without a copy, unless they are so few that a view would take more memory."""
    return data[start:end] if end - start < MIN_VIEW_BYTES else memoryview(data)[start:end]


def _either(names: list[str]) -> str:
    return " or ".join(repr(name) for name in names)
