from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator

import pytest
from starlette.requests import ClientDisconnect, Request
from starlette.types import Message

from phototriage.errors import MalformedRequest, TooLarge
from phototriage.settings import Settings
from phototriage.uploads import read_image

IMAGE = b"\xff\xd8 not quite --a JPEG\r\n--bound \r\n" + bytes(range(256)) * 4
SETTINGS = Settings(max_image_bytes=2000, max_request_bytes=3000, threads=1)
HEADER = b'Content-Disposition: form-data; name="image"; filename="cat.jpg"'


def form(*parts: tuple[bytes, bytes], boundary: bytes = b"boundary", end: bytes = b"--") -> bytes:
    """A multipart body of parts (header lines, content)."""
    return b"".join(b"--%b\r\n%b\r\n\r\n%b\r\n" % (boundary, *part) for part in parts) + b"--%b%b\r\n" % (boundary, end)


def read(
    body: bytes,
    content_type: str | None = "multipart/form-data; boundary=boundary",
    size: int = 10_000,
    settings: Settings = SETTINGS,
    **headers: str,
) -> bytes:
    """Run `read_image` on a body that comes in pieces of `size` bytes."""
    lines = {"content-type": content_type, **{name.replace("_", "-"): value for name, value in headers.items()}}
    scope = {
        "type": "http",
        "headers": [(name.encode(), value.encode("latin-1")) for name, value in lines.items() if value is not None],
    }
    pieces: Iterator[Message] = iter(
        [{"type": "http.request", "body": body[i : i + size], "more_body": True} for i in range(0, len(body), size)]
        + [{"type": "http.request", "body": b"", "more_body": False}]
    )

    async def receive() -> Message:
        return next(pieces)

    return asyncio.run(read_image(Request(scope, receive), settings))


@pytest.mark.parametrize("size", [1, 2, 3, 7, 64, 10_000])
def test_a_file_part_in_pieces_of_any_size(size: int) -> None:
    assert read(form((HEADER, IMAGE)), size=size) == IMAGE


@pytest.mark.parametrize(
    "content_type", ["image/jpeg", "image/x-anything", "application/octet-stream", "IMAGE/PNG; a=b"]
)
def test_a_raw_body(content_type: str) -> None:
    assert read(IMAGE, content_type, size=100) == IMAGE


@pytest.mark.parametrize(
    "header",
    [
        HEADER + b"\r\nContent-Type: image/jpeg",
        HEADER + b"\r\nContent-Type: text/html",
        HEADER + b"\r\nContent-Transfer-Encoding: binary",
        b"content-disposition:form-data;filename=x;name=image",
        b'Content-Disposition: form-data; name="image"; filename=""',
        b'Content-Disposition: form-data; name="image"; filename="../../etc/passwd"',
        b'Content-Disposition: form-data; name="image"; filename="\xe7\x8c\xab.jpg"',
    ],
)
def test_what_the_part_says_of_itself_is_not_believed(header: bytes) -> None:
    assert read(form((header, IMAGE))) == IMAGE


def test_preamble_breaks_and_epilogue_are_ignored() -> None:
    assert read(b"\r\n\r\n" + form((HEADER, IMAGE)) + b"epilogue") == IMAGE


def test_an_empty_file_is_left_to_the_decoder() -> None:
    assert read(form((HEADER, b""))) == b""
    assert read(b"", "image/jpeg") == b""


MALFORMED: dict[str, tuple[bytes, str | None, str]] = {
    "no content type": (IMAGE, None, "is missing"),
    "json": (b"{}", "application/json", "'application/json'"),
    "url-encoded form": (
        b"image=http://localhost/",
        "application/x-www-form-urlencoded",
        "one file part named 'image'",
    ),
    "nonsense content type": (IMAGE, ";;;=", "one file part named 'image'"),
    "no boundary": (form((HEADER, IMAGE)), "multipart/form-data", "no boundary"),
    "empty boundary": (form((HEADER, IMAGE)), "multipart/form-data; boundary=", "no boundary"),
    "long boundary": (b"", "multipart/form-data; boundary=" + "x" * 300, "boundary is too long"),
    "wrong boundary": (form((HEADER, IMAGE)), "multipart/form-data; boundary=other", "doesn't follow"),
    "not multipart at all": (IMAGE, "multipart/form-data; boundary=boundary", "doesn't follow"),
    "empty body": (b"", "multipart/form-data; boundary=boundary", "ends before"),
    "cut in the file": (form((HEADER, IMAGE))[:200], "multipart/form-data; boundary=boundary", "ends before"),
    "cut before the end": (form((HEADER, IMAGE), end=b""), "multipart/form-data; boundary=boundary", "ends before"),
    "no parts": (b"--boundary--\r\n", "multipart/form-data; boundary=boundary", "no parts"),
}


@pytest.mark.parametrize("name", MALFORMED)
def test_malformed_bodies(name: str) -> None:
    body, content_type, words = MALFORMED[name]
    with pytest.raises(MalformedRequest, match=words):
        read(body, content_type)


@pytest.mark.parametrize(
    ("parts", "words"),
    [
        ([(b'Content-Disposition: form-data; name="image"', b"http://169.254.169.254/")], "text field, not a file"),
        ([(b'Content-Disposition: form-data; name="photo"; filename="a"', IMAGE)], "part named 'photo'"),
        ([(b"Content-Disposition: form-data", IMAGE)], "part named ''"),
        ([(b'Content-Disposition: attachment; name="image"; filename="a"', IMAGE)], "part named 'image'"),
        ([(b"X-Nothing: here", IMAGE)], "part named ''"),
        ([(HEADER, IMAGE), (HEADER, IMAGE)], "more than one part"),
        ([(HEADER, IMAGE), (b'Content-Disposition: form-data; name="note"', b"hi")], "part named 'note'"),
        ([(HEADER + b"\r\nContent-Transfer-Encoding: base64", b"AAAA")], "is encoded"),
        ([(b"\r\n".join([HEADER, *[b"X-H: 1"] * 40]), IMAGE)], "doesn't follow"),
        ([(HEADER + b"\r\nX-Long: " + b"x" * 5000, IMAGE)], "doesn't follow"),
    ],
)
@pytest.mark.parametrize("size", [1, 10_000])
def test_parts_that_are_not_the_one_file(parts: list[tuple[bytes, bytes]], words: str, size: int) -> None:
    roomy = Settings(max_image_bytes=20_000, max_request_bytes=30_000, threads=1)
    with pytest.raises(MalformedRequest, match=words):
        read(form(*parts), size=size, settings=roomy)


def test_compressed_bodies_are_refused() -> None:
    with pytest.raises(MalformedRequest, match="Content-Encoding is 'gzip'"):
        read(IMAGE, "image/jpeg", content_encoding="gzip")


def test_a_body_that_announces_too_much_is_refused_unread() -> None:
    with pytest.raises(TooLarge, match="3001 bytes, and the limit is 3000"):
        read(b"", content_length="3001")
    with pytest.raises(TooLarge, match="2001 bytes, and the limit is 2000"):
        read(b"", "image/jpeg", content_length="2001")


@pytest.mark.parametrize("length", ["10", "0", "-5", "ten"])
def test_a_content_length_that_lies_changes_nothing(length: str) -> None:
    with pytest.raises(TooLarge, match="more than 2000 bytes"):
        read(bytes(2001), "image/jpeg", size=100, content_length=length)
    with pytest.raises(TooLarge, match="image has more than 2000 bytes"):
        read(form((HEADER, bytes(2001))), size=100, content_length=length)


def test_bytes_around_the_file_count_towards_the_request() -> None:
    with pytest.raises(TooLarge, match="more than 3000 bytes"):
        read(form((HEADER, IMAGE)) + bytes(3000), size=100)


def test_a_client_that_goes_away() -> None:
    async def receive() -> Message:
        return {"type": "http.disconnect"}

    scope = {"type": "http", "headers": [(b"content-type", b"image/png")]}
    with pytest.raises(ClientDisconnect):
        asyncio.run(read_image(Request(scope, receive), SETTINGS))


def test_the_parsers_warnings_with_the_clients_bytes_stay_out_of_the_log(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING), pytest.raises(MalformedRequest):
        read(b"secret", "multipart/form-data; boundary=boundary")
    assert caplog.records == []
