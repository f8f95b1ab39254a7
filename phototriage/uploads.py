"""One image out of a request's body, raw or as a file part, within limits that hold while it streams in."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import suppress

from python_multipart import MultipartParser
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import parse_options_header
from starlette.requests import Request

from phototriage.errors import MalformedRequest, PhototriageError, TooLarge
from phototriage.settings import Settings

PART = "image"
MAX_PART_HEADERS = 16
MAX_PART_HEADER_BYTES = 4096
RUN_OUT_SECONDS = 2.0
EXPECTED = (
    f"Send multipart/form-data with one file part named {PART!r}, or the file itself as the body with a "
    "Content-Type of image/* or application/octet-stream"
)

# The parser logs each malformed request as a warning, with bytes of the client's in it.
logging.getLogger("python_multipart").setLevel(logging.ERROR)


async def read_image(request: Request, settings: Settings) -> bytes:
    """Read the image's bytes from a raw or a multipart body; they stay in memory, nothing goes to disk.

    Raises MalformedRequest, which says what was expected, TooLarge, and Starlette's ClientDisconnect. What is refused
    isn't kept, but the rest of it is let run out for a while: a client that is still sending when the connection
    closes sees a broken connection, not the answer.
    """
    stream = request.stream()
    try:
        return await _read(request, stream, settings)
    except PhototriageError:
        # Who expects "100 Continue" and hasn't had it is not sending.
        if "expect" not in request.headers:
            await _let_run_out(stream, settings.max_request_bytes)
        raise


async def _let_run_out(stream: AsyncIterator[bytes], limit: int) -> None:
    """Receive and forget, up to `limit` bytes and RUN_OUT_SECONDS."""
    size = 0
    with suppress(TimeoutError):
        async with asyncio.timeout(RUN_OUT_SECONDS):
            async for chunk in stream:
                size += len(chunk)
                if size > limit:
                    return


async def _read(request: Request, stream: AsyncIterator[bytes], settings: Settings) -> bytes:
    content_type, parameters = parse_options_header(request.headers.get("content-type"))
    encoding = request.headers.get("content-encoding", "identity")
    if encoding.strip().lower() != "identity":
        raise MalformedRequest(f"The body's Content-Encoding is {encoding[:64]!r}. Send the image as it is.")
    if content_type == b"multipart/form-data":
        form = _ImageForm(parameters.get(b"boundary", b""), settings.max_image_bytes)
        limit, take, finish = settings.max_request_bytes, form.write, form.finish
    elif content_type.startswith(b"image/") or content_type == b"application/octet-stream":
        body = _Body("image", min(settings.max_image_bytes, settings.max_request_bytes))
        limit, take, finish = body.limit, body.add, body.joined
    else:
        said = f"is {content_type.decode('latin-1')[:64]!r}" if content_type else "is missing"
        raise MalformedRequest(f"The Content-Type {said}. {EXPECTED}.")
    _check_length(request, limit)
    async for chunk in _within(stream, limit):
        take(chunk)
    return finish()


def _check_length(request: Request, limit: int) -> None:
    """Refuse what announces itself as too large. What announces less than it sends is stopped while it comes."""
    length = request.headers.get("content-length", "")
    if length.isdecimal() and int(length) > limit:
        raise TooLarge(f"The body has {length} bytes, and the limit is {limit}. Send a smaller file.")


async def _within(chunks: AsyncIterator[bytes], limit: int) -> AsyncIterator[bytes]:
    size = 0
    async for chunk in chunks:
        size += len(chunk)
        if size > limit:
            raise TooLarge(f"The body has more than {limit} bytes, which is the limit. Send a smaller file.")
        yield chunk


class _Body:
    """Bytes that come in by and by, up to a limit."""

    def __init__(self, what: str, limit: int) -> None:
        self.limit = limit
        self._what = what
        self._chunks: list[bytes] = []
        self._size = 0

    def add(self, chunk: bytes) -> None:
        self._size += len(chunk)
        if self._size > self.limit:
            raise TooLarge(
                f"The {self._what} has more than {self.limit} bytes, which is the limit. Send a smaller file."
            )
        self._chunks.append(chunk)

    def joined(self) -> bytes:
        return b"".join(self._chunks)


class _ImageForm:
    """A multipart/form-data body of which exactly one part is taken, and any other is refused when it begins."""

    def __init__(self, boundary: bytes, limit: int) -> None:
        if not boundary:
            raise MalformedRequest("The Content-Type multipart/form-data has no boundary. " + EXPECTED + ".")
        callbacks: Mapping[str, Callable[..., None]] = {
            "on_part_begin": self._begin_part,
            "on_header_field": lambda data, start, end: self._field.extend(data[start:end]),
            "on_header_value": lambda data, start, end: self._value.extend(data[start:end]),
            "on_header_end": self._end_header,
            "on_headers_finished": self._end_headers,
            "on_part_data": lambda data, start, end: self._image.add(data[start:end]),
            "on_end": self._end,
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
        self._image = _Body("image", limit)
        self._headers: dict[bytes, bytes] = {}
        self._field, self._value = bytearray(), bytearray()
        self._parts = 0
        self._complete = False

    def write(self, chunk: bytes) -> None:
        try:
            self._parser.write(chunk)
        except FormParserError as error:
            raise MalformedRequest(
                "The body doesn't follow multipart/form-data with the boundary that the Content-Type names. "
                f"{EXPECTED}."
            ) from error

    def finish(self) -> bytes:
        if self._complete and self._parts == 0:
            raise MalformedRequest(f"The form has no parts. {EXPECTED}.")
        if not self._complete:
            raise MalformedRequest(
                "The body ends before its closing multipart boundary. Send it whole, with the boundary that the "
                "Content-Type names."
            )
        return self._image.joined()

    def _begin_part(self) -> None:
        self._headers.clear()

    def _end_header(self) -> None:
        self._headers[bytes(self._field).lower()] = bytes(self._value)
        self._field.clear()
        self._value.clear()

    def _end_headers(self) -> None:
        disposition, parameters = parse_options_header(self._headers.get(b"content-disposition", b""))
        name = parameters.get(b"name", b"").decode("utf-8", "replace")
        if disposition != b"form-data" or name != PART:
            raise MalformedRequest(f"The form has a part named {name[:64]!r}. {EXPECTED}.")
        if b"filename" not in parameters:
            raise MalformedRequest(
                f"The part {PART!r} is a text field, not a file; addresses are not fetched. {EXPECTED}."
            )
        encoding = self._headers.get(b"content-transfer-encoding", b"binary").strip().lower()
        if encoding not in (b"binary", b"8bit", b"7bit"):
            raise MalformedRequest(f"The part {PART!r} is encoded. Send the file's bytes as they are.")
        self._parts += 1
        if self._parts > 1:
            raise MalformedRequest(f"The form has more than one part named {PART!r}. {EXPECTED}.")

    def _end(self) -> None:
        self._complete = True
