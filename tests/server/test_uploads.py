from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator

import pytest
from starlette.requests import ClientDisconnect, Request
from starlette.types import Message

from phototriage.common.errors import MalformedRequest, TooLarge
from phototriage.server.uploads import read_image, read_pair
from phototriage.settings import Settings
from phototriage.triage.comparison import Side

IMAGE = b"\xff\xd8 not quite --a JPEG\r\n--bound \r\n" + bytes(range(256)) * 4
SETTINGS = Settings(max_image_bytes=2000, max_request_bytes=3000, threads=1)
FORM = "multipart/form-data; boundary=boundary"
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
    return asyncio.run(read_image(request_of(body, content_type, size, **headers), settings))


def request_of(body: bytes, content_type: str | None, size: int = 10_000, **headers: str) -> Request:
    lines = {"content-type": content_type, **{name.replace("_", "-"): value for name, value in headers.items()}}
    scope = {
        "type": "http",
        "headers": [(name.encode(), value.encode("latin-1")) for name, value in lines.items() if value is not None],
    }
    messages: Iterator[Message] = iter(
        [{"type": "http.request", "body": body[i : i + size], "more_body": True} for i in range(0, len(body), size)]
        + [{"type": "http.request", "body": b"", "more_body": False}]
    )

    async def receive() -> Message:
        return next(messages)

    return Request(scope, receive)


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


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        (b'{"url": "http://169.254.169.254/latest"}', "application/json"),
        (b'{"url": "http://169.254.169.254/latest"}', "application/json; charset=utf-8"),
        (b"image_url=http%3A%2F%2Flocalhost%2F", "application/x-www-form-urlencoded"),
        (b"http://localhost/cat.jpg", "text/plain"),
        *(
            (form((b'Content-Disposition: form-data; name="%b"' % part, b"http://localhost/")), FORM)
            for part in (b"url", b"image_url", b"URL", b"image")
        ),
    ],
)
def test_an_address_in_place_of_an_image_is_told_why_not_and_what_to_do(body: bytes, content_type: str) -> None:
    with pytest.raises(MalformedRequest, match=r"Addresses of images are not fetched, since .*: download .* Send"):
        read(body, content_type)


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


A, B = (b'Content-Disposition: form-data; name="image_%b"; filename="cat.jpg"' % side for side in (b"a", b"b"))
TEXT_A, TEXT_B = (b'Content-Disposition: form-data; name="embedding_%b"' % side for side in (b"a", b"b"))
FILE_B = TEXT_B + b'; filename="b.json"\r\nContent-Type: application/json'
PAIR_SETTINGS = Settings(max_image_bytes=2000, max_request_bytes=5000, threads=1)
JSON = b'{"model": "tiny"}'


def read_both(
    body: bytes, content_type: str | None = "multipart/form-data; boundary=boundary", size: int = 10_000, **headers: str
) -> tuple[Side, Side]:
    return asyncio.run(read_pair(request_of(body, content_type, size, **headers), PAIR_SETTINGS))


@pytest.mark.parametrize("size", [1, 3, 64, 10_000])
def test_two_files_in_pieces_of_any_size(size: int) -> None:
    expected = (Side("image_a", "image", IMAGE), Side("image_b", "image", b"other"))
    assert read_both(form((A, IMAGE), (B, b"other")), size=size) == expected


def test_parts_come_in_any_order() -> None:
    assert read_both(form((B, b"b"), (A, b"a"))) == read_both(form((A, b"a"), (B, b"b")))


@pytest.mark.parametrize("header", [TEXT_B, FILE_B])
def test_an_embedding_is_a_text_field_or_a_file(header: bytes) -> None:
    expected = (Side("image_a", "image", IMAGE), Side("embedding_b", "embedding", JSON))
    assert read_both(form((A, IMAGE), (header, JSON))) == expected


def test_two_embeddings() -> None:
    kinds = [side.kind for side in read_both(form((TEXT_A, JSON), (TEXT_B, JSON)))]
    assert kinds == ["embedding", "embedding"]


@pytest.mark.parametrize(
    ("parts", "words"),
    [
        ([(A, IMAGE)], "no part named 'image_b' or 'embedding_b'"),
        ([(TEXT_B, JSON)], "no part named 'image_a' or 'embedding_a'"),
        ([(A, IMAGE), (A, IMAGE), (B, IMAGE)], "more than one part named 'image_a'"),
        ([(TEXT_B, JSON), (TEXT_B, JSON)], "more than one part named 'embedding_b'"),
        ([(A, IMAGE), (TEXT_A, JSON), (B, IMAGE)], "both 'image_a' and 'embedding_a'"),
        ([(FILE_B, JSON), (B, IMAGE)], "both 'embedding_b' and 'image_b'"),
        ([(HEADER, IMAGE)], "part named 'image'"),
        ([(A, IMAGE), (B, IMAGE), (b'Content-Disposition: form-data; name="c"', b"")], "part named 'c'"),
        ([(A, IMAGE), (B.partition(b"; filename")[0], b"http://localhost/")], "'image_b' is a text field, not a file"),
        ([(A, IMAGE), (TEXT_B + b"\r\nContent-Transfer-Encoding: base64", JSON)], "'embedding_b' is encoded"),
    ],
)
@pytest.mark.parametrize("size", [1, 10_000])
def test_parts_that_are_not_one_of_each_side(parts: list[tuple[bytes, bytes]], words: str, size: int) -> None:
    with pytest.raises(MalformedRequest, match=words) as caught:
        read_both(form(*parts), size=size)
    assert "Send" in caught.value.detail


@pytest.mark.parametrize("content_type", ["image/png", "application/octet-stream", "application/json", None])
def test_two_sides_come_in_no_raw_body(content_type: str | None) -> None:
    with pytest.raises(MalformedRequest, match=r"Content-Type .* with two parts"):
        read_both(IMAGE, content_type)


def test_an_empty_form_has_no_sides() -> None:
    with pytest.raises(MalformedRequest, match="no parts"):
        read_both(b"--boundary--\r\n")
    with pytest.raises(MalformedRequest, match="ends before"):
        read_both(form((A, IMAGE), (B, IMAGE), end=b""))


def test_each_part_has_its_own_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("phototriage.server.uploads.MAX_BYTES", 100)
    assert read_both(form((A, bytes(2000)), (B, bytes(2000))))[1].content == bytes(2000)
    assert read_both(form((A, bytes(2000)), (TEXT_B, bytes(100))))[1].content == bytes(100)
    with pytest.raises(TooLarge, match="image_b has more than 2000 bytes"):
        read_both(form((A, bytes(2000)), (B, bytes(2001))), size=100)
    with pytest.raises(TooLarge, match="embedding_b has more than 100 bytes"):
        read_both(form((A, bytes(2000)), (FILE_B, bytes(101))), size=100)


def test_both_sides_count_towards_the_request() -> None:
    roomy = (A + b"\r\nX-Long: " + b"x" * 600, bytes(2000)), (B + b"\r\nX-Long: " + b"x" * 600, bytes(2000))
    with pytest.raises(TooLarge, match="more than 5000 bytes"):
        read_both(form(*roomy), size=100)
    with pytest.raises(TooLarge, match="5001 bytes, and the limit is 5000"):
        read_both(b"", content_length="5001")


def test_a_body_of_just_the_limit_is_read() -> None:
    whole = form((HEADER, IMAGE))
    just = SETTINGS.model_copy(update={"max_request_bytes": len(whole)})
    assert read(whole, settings=just) == IMAGE
    with pytest.raises(TooLarge):
        read(whole, settings=SETTINGS.model_copy(update={"max_request_bytes": len(whole) - 1}))


def test_of_a_refused_body_no_more_than_the_limit_is_let_run_out() -> None:
    taken = 0

    async def receive() -> Message:
        nonlocal taken
        taken += 1000
        return {"type": "http.request", "body": bytes(1000), "more_body": True}

    request = Request({"type": "http", "headers": [(b"content-type", b"image/jpeg")]}, receive)
    with pytest.raises(TooLarge):
        asyncio.run(read_image(request, SETTINGS))
    refused_at = SETTINGS.max_image_bytes + 1000
    assert refused_at + SETTINGS.max_request_bytes <= taken <= refused_at + SETTINGS.max_request_bytes + 1000
