"""One image, several, or two sides of a comparison, out of a request's body, within limits that hold while it comes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import TypeVar

from python_multipart.multipart import parse_options_header
from starlette.requests import ClientDisconnect, Request

from phototriage.common.errors import MalformedRequest, PhototriageError, TooLarge
from phototriage.server.form import Body, Field, File, Form, FormRule
from phototriage.settings import Settings
from phototriage.triage.comparison import Side
from phototriage.triage.embedding import MAX_BYTES

T = TypeVar("T")

Take = tuple[int, Callable[[bytes], None], Callable[[], T]]  # most bytes of the body; what takes a piece; what ends it

PART, IMAGES_PART = "image", "images"
IMAGE_PARTS = ("image_a", "image_b")
EMBEDDING_PARTS = ("embedding_a", "embedding_b")
RUN_OUT_SECONDS = 2.0
EXPECTED_IMAGE = (
    f"Send multipart/form-data with one file part named {PART!r}, or the file itself as the body with a "
    "Content-Type of image/* or application/octet-stream"
)
EXPECTED_IMAGES = f"Send multipart/form-data with one or more file parts, each named {IMAGES_PART!r}"
EXPECTED_PAIR = (
    "Send multipart/form-data with two parts: a file 'image_a' or the JSON 'embedding_a', and a file 'image_b' or the "
    "JSON 'embedding_b'"
)


async def read_image(request: Request, settings: Settings) -> bytes:
    """Read the image's bytes from a raw or a multipart body; they stay in memory, nothing goes to disk.

    Raises MalformedRequest, which says what was expected, TooLarge, and Starlette's ClientDisconnect. What is refused
    isn't kept, but the rest of it is let run out for a while: a client that is still sending when the connection
    closes sees a broken connection, not the answer.
    """
    return await _read(request, settings, _take_image)


async def read_images(request: Request, settings: Settings) -> list[File]:
    """Read several images from a multipart body, in their order. Errors as `read_image`; a file that is too large
    says so by itself."""
    return await _read(request, settings, _take_images)


async def read_pair(request: Request, settings: Settings) -> tuple[Side, Side]:
    """Read both sides of a comparison from a multipart body, a file or an embedding each. Errors as `read_image`."""
    parts = await _read(request, settings, _take_pair)
    a, b = (
        Side(image, "image", parts[image]) if image in parts else Side(other, "embedding", parts[other])
        for image, other in zip(IMAGE_PARTS, EMBEDDING_PARTS, strict=True)
    )
    return a, b


def _take_image(content_type: bytes, boundary: bytes, settings: Settings) -> Take[bytes]:
    if content_type.startswith(b"image/") or content_type == b"application/octet-stream":
        body = Body(PART, min(settings.max_image_bytes, settings.max_request_bytes))
        return body.limit, body.add, body.joined
    _check_form(content_type, EXPECTED_IMAGE)
    form = Form(boundary, FormRule(((Field(PART, settings.max_image_bytes),),), EXPECTED_IMAGE))
    return settings.max_request_bytes, form.write, lambda: form.finish()[PART]


def _take_images(content_type: bytes, boundary: bytes, settings: Settings) -> Take[list[File]]:
    _check_form(content_type, EXPECTED_IMAGES)
    field = Field(IMAGES_PART, settings.max_image_bytes)
    form = Form(boundary, FormRule(((field,),), EXPECTED_IMAGES, most=settings.max_images))

    def finish() -> list[File]:
        form.finish()
        return form.files

    return settings.max_request_bytes, form.write, finish


def _take_pair(content_type: bytes, boundary: bytes, settings: Settings) -> Take[dict[str, bytes]]:
    _check_form(content_type, EXPECTED_PAIR)
    sides = tuple(
        (Field(image, settings.max_image_bytes), Field(other, MAX_BYTES, may_be_text=True))
        for image, other in zip(IMAGE_PARTS, EMBEDDING_PARTS, strict=True)
    )
    form = Form(boundary, FormRule(sides, EXPECTED_PAIR))
    return settings.max_request_bytes, form.write, form.finish


def _check_form(content_type: bytes, expected: str) -> None:
    if content_type != b"multipart/form-data":
        said = f"is {content_type.decode('latin-1')[:64]!r}" if content_type else "is missing"
        raise MalformedRequest(f"The Content-Type {said}. {expected}.")


async def _read(request: Request, settings: Settings, take: Callable[[bytes, bytes, Settings], Take[T]]) -> T:
    """What `take` makes of the body, by its content type and boundary; of a refused one the rest runs out."""
    body = _Incoming(request)
    try:
        content_type, parameters = parse_options_header(request.headers.get("content-type"))
        _refuse_encoding(request)
        limit, add, finish = take(content_type, parameters.get(b"boundary", b""), settings)
        _check_length(request, limit)
        while not body.ended:
            piece = await body.piece()
            if body.size > limit:
                raise TooLarge(f"The body has more than {limit} bytes, which is the limit. Send a smaller file.")
            if piece:
                add(piece)
        return finish()
    except PhototriageError:
        # Who expects "100 Continue" and hasn't had it is not sending.
        if "expect" not in request.headers:
            await _let_run_out(body, settings.max_request_bytes)
        raise


class _Incoming:
    """A request's body, piece by piece as it comes in. Starlette's stream does the same through two generators."""

    def __init__(self, request: Request) -> None:
        self._receive = request.receive
        self.size = 0
        self.ended = False

    async def piece(self) -> bytes:
        """The next one, which may be empty. Raises ClientDisconnect."""
        message = await self._receive()
        if message["type"] == "http.disconnect":
            self.ended = True
            raise ClientDisconnect
        self.ended = not message.get("more_body", False)
        piece: bytes = message.get("body", b"")
        self.size += len(piece)
        return piece


async def _let_run_out(body: _Incoming, limit: int) -> None:
    """Receive and forget, up to `limit` bytes and RUN_OUT_SECONDS."""
    end = body.size + limit
    with suppress(TimeoutError):
        async with asyncio.timeout(RUN_OUT_SECONDS):
            while not body.ended and body.size <= end:
                await body.piece()


def _refuse_encoding(request: Request) -> None:
    encoding = request.headers.get("content-encoding", "identity")
    if encoding.strip().lower() != "identity":
        raise MalformedRequest(f"The body's Content-Encoding is {encoding[:64]!r}. Send the image as it is.")


def _check_length(request: Request, limit: int) -> None:
    """Refuse what announces itself as too large. What announces less than it sends is stopped while it comes."""
    length = request.headers.get("content-length", "")
    if length.isdecimal() and int(length) > limit:
        raise TooLarge(f"The body has {length} bytes, and the limit is {limit}. Send a smaller file.")
