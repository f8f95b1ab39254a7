"""Request bodies: one image, several, or the two sides of a comparison. Limits are checked while the bytes come in."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import Generic, NamedTuple, TypeVar

from python_multipart.multipart import parse_options_header
from starlette.requests import ClientDisconnect, Request

from phototriage.collections.embedded_photos import MOST_BYTES
from phototriage.common.errors import MalformedRequest, PhototriageError, TooLarge
from phototriage.contract.parts import EMBEDDING_PART, EMBEDDING_PARTS, IMAGE_PARTS, IMAGES_PART, NOT_FETCHED, PART
from phototriage.server.form import Body, Field, File, Form, FormSchema
from phototriage.settings import Settings
from phototriage.triage.comparison import Side
from phototriage.triage.embedding import MAX_BYTES

T = TypeVar("T")

TEXTS = (b"application/json", b"application/x-www-form-urlencoded")
JSON_BODY = b"application/json"
DRAIN_SECONDS = 2.0
EXPECTED_IMAGE = (
    f"Send multipart/form-data with one file part named {PART!r}, or the file itself as the body with a "
    "Content-Type of image/* or application/octet-stream"
)
EXPECTED_PHOTO = (
    "Send multipart/form-data with one part, a file 'image' or the JSON 'embedding', or one of them as the body with a "
    "Content-Type of image/*, application/octet-stream or application/json"
)
EXPECTED_IMAGES = f"Send multipart/form-data with one or more file parts, each named {IMAGES_PART!r}"
EXPECTED_BATCH = (
    f"{EXPECTED_IMAGES}, or a JSON body with the Content-Type {JSON_BODY.decode()}: "
    '{"photos": [{"embedding": …}, …]}'
)
EXPECTED_PAIR = (
    "Send multipart/form-data with two parts: a file 'image_a' or the JSON 'embedding_a', and a file 'image_b' or the "
    "JSON 'embedding_b'"
)


async def read_image(request: Request, settings: Settings) -> bytes:
    """Read the image's bytes from a raw or a multipart body; they stay in memory, nothing goes to disk.

    Raises MalformedRequest, which says what was expected, TooLarge, and Starlette's ClientDisconnect. The rest of a
    refused body is received for a while, but not kept: a client that is still sending when the connection closes would
    see a broken connection instead of the answer.
    """
    return await _read(request, settings, _image_reader)


async def read_images(request: Request, settings: Settings) -> list[File]:
    """Read several images from a multipart body, in their order. Errors as `read_image`, except that a file that
    is too large says so itself, in `refused`."""
    return await _read(request, settings, _images_reader)


async def read_batch(request: Request, settings: Settings) -> list[File] | bytes:
    """Read several photos: images as `read_images`, or the JSON body that has embeddings of them."""
    return await _read(request, settings, _batch_reader)


async def read_pair(request: Request, settings: Settings) -> tuple[Side, Side]:
    """Read both sides of a comparison from a multipart body, a file or an embedding each. Errors as `read_image`."""
    parts = await _read(request, settings, _pair_reader)
    a, b = (
        Side(image, "image", parts[image]) if image in parts else Side(other, "embedding", parts[other])
        for image, other in zip(IMAGE_PARTS, EMBEDDING_PARTS, strict=True)
    )
    return a, b


async def read_photo(request: Request, settings: Settings) -> Side:
    """Read a photo, a file or an embedding, from a raw or a multipart body. Errors as `read_image`."""
    return await _read(request, settings, _photo_reader)


class _Reader(NamedTuple, Generic[T]):
    """How a body is read: at most `max_bytes`, each chunk by `add`, and `finish` makes the result."""

    max_bytes: int
    add: Callable[[bytes], None]
    finish: Callable[[], T]


def _image_reader(content_type: bytes, boundary: bytes, settings: Settings) -> _Reader[bytes]:
    if _is_image(content_type):
        body = Body(PART, min(settings.max_image_bytes, settings.max_request_bytes))
        return _Reader(body.limit, body.add, body.joined)
    _check_form(content_type, EXPECTED_IMAGE)
    form = Form(boundary, FormSchema(((Field(PART, settings.max_image_bytes),),), EXPECTED_IMAGE))
    return _Reader(settings.max_request_bytes, form.write, lambda: form.finish()[PART])


def _photo_reader(content_type: bytes, boundary: bytes, settings: Settings) -> _Reader[Side]:
    if content_type == JSON_BODY:
        body = Body(EMBEDDING_PART, MAX_BYTES)
        return _Reader(body.limit, body.add, lambda: Side(EMBEDDING_PART, "embedding", body.joined()))
    if content_type != b"multipart/form-data":
        if not _is_image(content_type):
            _check_form(content_type, EXPECTED_PHOTO)
        image = _image_reader(content_type, boundary, settings)
        return _Reader(image.max_bytes, image.add, lambda: Side(PART, "image", image.finish()))
    fields = (Field(PART, settings.max_image_bytes), Field(EMBEDDING_PART, MAX_BYTES, may_be_text=True))
    form = Form(boundary, FormSchema((fields,), EXPECTED_PHOTO))

    def finish() -> Side:
        ((name, content),) = form.finish().items()
        return Side(name, "image" if name == PART else "embedding", content)

    return _Reader(settings.max_request_bytes, form.write, finish)


def _batch_reader(content_type: bytes, boundary: bytes, settings: Settings) -> _Reader[list[File] | bytes]:
    if content_type == JSON_BODY:
        body = Body("batch", min(MOST_BYTES, settings.max_request_bytes))
        return _Reader(body.limit, body.add, body.joined)
    reader = _images_reader(content_type, boundary, settings, EXPECTED_BATCH)
    return _Reader(reader.max_bytes, reader.add, reader.finish)


def _images_reader(
    content_type: bytes, boundary: bytes, settings: Settings, expected: str = EXPECTED_IMAGES
) -> _Reader[list[File]]:
    _check_form(content_type, expected)
    field = Field(IMAGES_PART, settings.max_image_bytes)
    form = Form(boundary, FormSchema(((field,),), expected, max_parts=settings.max_images))

    def finish() -> list[File]:
        form.finish()
        return form.files

    return _Reader(settings.max_request_bytes, form.write, finish)


def _pair_reader(content_type: bytes, boundary: bytes, settings: Settings) -> _Reader[dict[str, bytes]]:
    _check_form(content_type, EXPECTED_PAIR)
    sides = tuple(
        (Field(image, settings.max_image_bytes), Field(other, MAX_BYTES, may_be_text=True))
        for image, other in zip(IMAGE_PARTS, EMBEDDING_PARTS, strict=True)
    )
    form = Form(boundary, FormSchema(sides, EXPECTED_PAIR))
    return _Reader(settings.max_request_bytes, form.write, form.finish)


def _is_image(content_type: bytes) -> bool:
    return content_type.startswith(b"image/") or content_type == b"application/octet-stream"


def _check_form(content_type: bytes, expected: str) -> None:
    if content_type != b"multipart/form-data":
        problem = f"is {content_type.decode('latin-1')[:64]!r}" if content_type else "is missing"
        # These hold no image, but may hold the address of one.
        is_text = content_type.startswith(b"text/") or content_type in TEXTS
        raise MalformedRequest(f"The Content-Type {problem}. {f'{NOT_FETCHED}. ' * is_text}{expected}.")


async def _read(request: Request, settings: Settings, make_reader: Callable[[bytes, bytes, Settings], _Reader[T]]) -> T:
    """Read the body by the reader for its content type and boundary. The rest of a refused body is drained."""
    body = _Incoming(request)
    try:
        content_type, parameters = parse_options_header(request.headers.get("content-type"))
        _refuse_encoding(request)
        limit, add, finish = make_reader(content_type, parameters.get(b"boundary", b""), settings)
        _check_length(request, limit)
        while not body.ended:
            chunk = await body.next_chunk()
            if body.size > limit:
                raise TooLarge(
                    f"The body has more than {limit} bytes, which is the limit. Send a smaller file, or fewer."
                )
            if chunk:
                add(chunk)
        return finish()
    except PhototriageError:
        # A client that expects "100 Continue" and hasn't received it is not sending.
        if "expect" not in request.headers:
            await _drain(body, settings.max_request_bytes)
        raise


class _Incoming:
    """A request's body, chunk by chunk as it comes in. Starlette's stream does the same, through two generators."""

    def __init__(self, request: Request) -> None:
        self._receive = request.receive
        self.size = 0
        self.ended = False

    async def next_chunk(self) -> bytes:
        """The next chunk, which may be empty. Raises ClientDisconnect."""
        message = await self._receive()
        if message["type"] == "http.disconnect":
            self.ended = True
            raise ClientDisconnect
        self.ended = not message.get("more_body", False)
        chunk: bytes = message.get("body", b"")
        self.size += len(chunk)
        return chunk


async def _drain(body: _Incoming, limit: int) -> None:
    """Receive the rest and drop it, up to `limit` bytes and DRAIN_SECONDS."""
    end = body.size + limit
    with suppress(TimeoutError):
        async with asyncio.timeout(DRAIN_SECONDS):
            while not body.ended and body.size <= end:
                await body.next_chunk()


def _refuse_encoding(request: Request) -> None:
    encoding = request.headers.get("content-encoding", "identity")
    if encoding.strip().lower() != "identity":
        raise MalformedRequest(f"The body's Content-Encoding is {encoding[:64]!r}. Send the image as it is.")


def _check_length(request: Request, limit: int) -> None:
    """Refuse a body whose Content-Length is over the limit. A body that is longer than that is refused while it
    comes."""
    length = request.headers.get("content-length", "")
    if length.isdecimal() and int(length) > limit:
        raise TooLarge(f"The body has {length} bytes, and the limit is {limit}. Send a smaller file, or fewer.")
