"""Hostile requests made by code, the same ones each time: what a socket sends, and the answers that are allowed."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain

from phototriage.contract.routes import OPERATIONS
from tests.tiny_models import solid

RED = solid((255, 0, 0))
NO_ANSWER = 0  # among statuses: the connection closes without one

# The parts that each route takes; a route that isn't named here has no hostile requests yet, which is an error.
PARTS: dict[str, tuple[str, ...]] = {
    "/v1/classify": ("image",),
    "/v1/difficulty": ("image",),
    "/v1/saliency": ("image",),
    "/v1/embed": ("image",),
    "/v1/duplicates": ("image_a", "image_b"),
    "/v1/triage": ("image",),
    "/v1/triage/batch": ("images", "images"),
}
# Those of collections are read by the same readers, and answer 404 where there is no collection.
ROUTES = {
    operation.path: PARTS[operation.path]
    for operation in OPERATIONS
    if operation.takes != "nothing" and not operation.path_names
}
BATCH = "/v1/triage/batch"  # answers 200 and tells of bad images in it

BOUNDARY = b"b0undary"
FORM = b"multipart/form-data; boundary=" + BOUNDARY
IMAGE = b'Content-Disposition: form-data; name="image"; filename="a.png"'


@dataclass(frozen=True)
class Hostile:
    """Bytes to send, and the statuses that may come back. After bytes that are `unfinished` the sender hangs up;
    those that are `broken` aren't HTTP, so that the server may refuse them in its own words."""

    data: bytes
    allowed: frozenset[int]
    unfinished: bool = False
    broken: bool = False


def corpus() -> Iterator[tuple[str, Hostile]]:
    """Requests whose HTTP, form or query is hostile, with names."""
    yield from chain(_forms(), _batches(), _headers(), _lengths(), _lines(), _queries())


def request(
    body: bytes = RED,
    *headers: bytes,
    target: bytes = b"/v1/classify",
    content_type: bytes | None = b"image/png",
    line: bytes | None = None,
    length: bool = True,
) -> bytes:
    """A request after whose answer the connection closes; `line` replaces the request line."""
    lines = [line or b"POST " + target + b" HTTP/1.1", b"Host: test", b"Connection: close", *headers]
    if content_type is not None:
        lines.append(b"Content-Type: " + content_type)
    if length:
        lines.append(b"Content-Length: %d" % len(body))
    return b"\r\n".join([*lines, b"", body])


def form(*parts: tuple[bytes, bytes], end: bytes = b"--") -> bytes:
    """A multipart body of parts (header lines, content)."""
    return b"".join(b"--%b\r\n%b\r\n\r\n%b\r\n" % (BOUNDARY, *part) for part in parts) + b"--%b%b\r\n" % (BOUNDARY, end)


def upload(path: str, image: bytes, raw: bool = False) -> bytes:
    """The image to that route, as a form beside a good image where it takes two, or as the body where it may be."""
    if raw and PARTS[path] == ("image",):
        return request(image, target=path.encode(), content_type=b"image/jpeg")
    disposition = b'Content-Disposition: form-data; name="%b"; filename="a"'
    images = [image, RED]
    parts = [(disposition % name.encode(), images[i]) for i, name in enumerate(PARTS[path])]
    return request(form(*parts), target=path.encode(), content_type=FORM)


def chunked(*chunks: bytes, end: bytes = b"0\r\n\r\n") -> bytes:
    """A request with these bytes as its chunks."""
    head = request(b"", b"Transfer-Encoding: chunked", length=False)
    return head + b"".join(b"%x\r\n%b\r\n" % (len(chunk), chunk) for chunk in chunks) + end


def _forms() -> Iterator[tuple[str, Hostile]]:
    """Multipart bodies that are wrong, and a few that only look so."""
    good, text = (IMAGE, RED), (b'Content-Disposition: form-data; name="image"', b"http://localhost/a.png")
    whole = form(good)
    nested = b"Content-Disposition: form-data; name=image; filename=a\r\nContent-Type: multipart/mixed; boundary=inner"

    def named(name: bytes, filename: bytes = b"a") -> tuple[bytes, bytes]:
        return b'Content-Disposition: form-data; name="%b"; filename="%b"' % (name, filename), RED

    bodies: dict[str, tuple[bytes, bytes, int]] = {
        "no boundary": (whole, b"multipart/form-data", 400),
        "empty boundary": (whole, b"multipart/form-data; boundary=", 400),
        "empty quoted boundary": (whole, b'multipart/form-data; boundary=""', 400),
        "open quoted boundary": (whole, b'multipart/form-data; boundary="' + BOUNDARY, 400),
        "boundary of 300": (whole, b"multipart/form-data; boundary=" + b"x" * 300, 400),
        "boundary of other bytes": (whole, b"multipart/form-data; boundary=\xff\xfe", 400),
        "wrong boundary": (whole, FORM + b"x", 400),
        "boundary in other case": (whole, FORM.replace(BOUNDARY, BOUNDARY.upper()), 400),
        "another multipart": (whole, FORM.replace(b"form-data", b"mixed"), 400),
        "no final boundary": (form(good, end=b""), FORM, 400),
        "no boundary at the end": (whole[: -len(BOUNDARY) - 6], FORM, 400),
        "only a final boundary": (form(), FORM, 400),
        "line feeds alone": (whole.replace(b"\r\n", b"\n"), FORM, 400),
        "carriage returns alone": (whole.replace(b"\r\n", b"\r"), FORM, 400),
        "nothing": (b"", FORM, 400),
        "an image without a form": (RED, FORM, 400),
        "preamble": (b"This is a multipart message.\r\n" + whole, FORM, 400),
        "epilogue": (whole + b"--" + BOUNDARY + b"\r\nmore\r\n" + RED, FORM, 200),
        "part without a name": (form((b"Content-Disposition: form-data; filename=a", RED)), FORM, 400),
        "part without headers": (form((b"", RED)), FORM, 400),
        "part of another name": (form(named(b"photo")), FORM, 400),
        "part of an empty name": (form(named(b"")), FORM, 400),
        "name with NUL": (form(named(b"image\0")), FORM, 400),
        "name in latin-1": (form(named(b"im\xe4ge")), FORM, 400),
        "name of 3000": (form(named(b"i" * 3000)), FORM, 400),
        "attachment": (form((IMAGE.replace(b"form-data", b"attachment"), RED)), FORM, 400),
        "two parts of one name": (form(good, good), FORM, 400),
        "another part": (form(good, text), FORM, 400),
        "text in place of a file": (form(text), FORM, 400),
        "nested multipart": (form((nested, b"--inner\r\n\r\n\r\n" + RED + b"\r\n--inner--\r\n")), FORM, 415),
        "huge part header": (form((IMAGE + b"\r\nX-Long: " + b"x" * 100_000, RED)), FORM, 400),
        "500 part headers": (form((IMAGE + b"\r\nX-More: x" * 500, RED)), FORM, 400),
        "part header without a colon": (form((IMAGE + b"\r\nnonsense", RED)), FORM, 400),
        "part header with NUL": (form((IMAGE + b"\r\nX-\0: x", RED)), FORM, 400),
        "5000 parts": (form(*[named(b"image")] * 5000), FORM, 400),
        "5000 empty parts": (form(*[(b"", b"")] * 5000), FORM, 400),
        "base64": (form((IMAGE + b"\r\nContent-Transfer-Encoding: base64", b"AAAA")), FORM, 400),
        "empty part": (form((IMAGE, b"")), FORM, 422),
        "part of line ends": (form((IMAGE, b"\r\n" * 5000)), FORM, 415),
        "part of almost boundaries": (form((IMAGE, (b"\r\n--" + BOUNDARY[:-1]) * 5000)), FORM, 415),
        "filename with a path": (form(named(b"image", b"../../../etc/passwd")), FORM, 200),
        "filename with NUL": (form(named(b"image", b"a\0.png")), FORM, 200),
        "filename of other bytes": (form(named(b"image", b"\xff\xfe\xed\xa0\x80")), FORM, 200),
        "filename in unicode": (form(named(b"image", "‮gnp.\U0001f408\u202e".encode())), FORM, 200),
        "filename of 3000": (form(named(b"image", b"a" * 3000)), FORM, 200),
        "filename* that is none": (form((IMAGE.replace(b"filename=", b"filename*="), RED)), FORM, 400),
        "filename* alone": (form((IMAGE.replace(b'="a.png"', b"*=utf-8''%e7%8c%ab"), RED)), FORM, 200),
        "filename with a backslash at its end": (form(named(b"image", b"a\\")), FORM, 200),
        "gzip": (zlib.compress(whole, wbits=31), FORM + b"\r\nContent-Encoding: gzip", 400),
        "several encodings": (whole, FORM + b"\r\nContent-Encoding: identity, br", 400),
    }
    for name, (body, content_type, status) in bodies.items():
        data = request(body, content_type=content_type)
        yield f"form: {name}", Hostile(data, frozenset({status}))
    for size in (1, 20, 60, 100, len(whole) - 3):
        yield f"form: ends after {size}", Hostile(request(whole[:size], content_type=FORM), frozenset({400}))


def _batches() -> Iterator[tuple[str, Hostile]]:
    """Forms of several images: of too many, of none, of what isn't an image."""
    part = IMAGE.replace(b'"image"', b'"images"')
    bodies: dict[str, tuple[bytes, tuple[int, ...]]] = {
        "no image": (form(), (400,)),
        "65 images": (form(*[(part, RED)] * 65), (413,)),
        "5000 images": (form(*[(part, b"")] * 5000), (413,)),
        "bad ones": (form(*[(part, image) for image in (b"", RED, b"GIF89a", RED[:50])]), (200,)),
        "a text among them": (form((part, RED), (part.partition(b"; filename")[0], RED)), (200, 400)),
        "another name": (form((part, RED), (IMAGE, RED)), (400,)),
        "cut": (form((part, RED), (part, RED))[:-30], (400,)),
    }
    for name, (body, allowed) in bodies.items() if BATCH in ROUTES else ():
        yield f"batch: {name}", Hostile(request(body, target=BATCH.encode(), content_type=FORM), frozenset(allowed))


def _headers() -> Iterator[tuple[str, Hostile]]:
    """Headers that are odd, and headers that are none."""
    odd: dict[str, tuple[bytes, int]] = {
        "2000 of them": (b"\r\n".join(b"X-%d: x" % i for i in range(2000)), 200),
        "the same 2000 times": (b"\r\n".join([b"Accept: image/png"] * 2000), 200),
        "other bytes": (b"X-Bytes: \xff\xfe\x80", 200),
        "a second host": (b"Host: elsewhere", 200),
        "unknown expectation": (b"Expect: the-unexpected", 200),
        "100-continue": (b"Expect: 100-continue", 200),
        "a range": (b"Range: bytes=0-99999999999", 200),
        "cookies": (b"Cookie: " + b"a=b; ;;=,;" * 500, 200),
        "forwarded": (b"X-Forwarded-For: ::1, ', \t\r\nX-Forwarded-Proto: file", 200),
        "method override": (b"X-HTTP-Method-Override: DELETE", 200),
        "a second content type": (b"Content-Type: application/json", 400),
        "a content encoding": (b"Content-Encoding: " + b"gzip, " * 1000, 400),
    }
    for name, (lines, status) in odd.items():
        yield f"headers: {name}", Hostile(request(RED, lines), frozenset({status}))
    huge = request(RED, b"X-Long: " + b"x" * 1_000_000)
    yield "headers: 1 MB of one", Hostile(huge, frozenset({200, 431}), broken=True)
    for accept in (b"text/html", b"image/png;q=nan", b"*/*;q=-1e999", b";;,,/", b"\xff", b"image/png," * 5000):
        data = request(RED, b"Accept: " + accept, target=b"/v1/saliency")
        yield f"accept: {accept[:20]!r}", Hostile(data, frozenset({200}))
    types = (
        b"",
        b"application/json",
        b"text/plain",
        b"image",
        b"/",
        b";",
        b"*/*",
        b"x" * 9000,
        b"\xff/\xff",
        b"a/b,c/d",
    )
    for kind in (None, *types):
        name = f"content type: {kind[:20] if kind is not None else kind!r}"
        yield name, Hostile(request(RED, content_type=kind), frozenset({400}))
    no_headers = (
        b"X-\0: x",
        b"X: a\0b",
        b"nonsense",
        b": x",
        b"X Y: z",
        b"X: a\rb",
        b"X: a\x01b",
        b"X: a\nY",
        b"X\xff: a",
    )
    for line in no_headers:
        yield f"no header: {line!r}", Hostile(request(RED, line), frozenset({400}), broken=True)


def _lengths() -> Iterator[tuple[str, Hostile]]:
    """Bodies that are longer or shorter than they say, in one piece or in chunks."""
    unsaid = request(RED, length=False)
    for length in (b"-1", b"+5", b"1e3", b"0x10", b"five", b"", b"1" * 30, b"5, 5", b"\xb2"):
        data = unsaid.replace(b"\r\n\r\n", b"\r\nContent-Length: " + length + b"\r\n\r\n", 1)
        yield f"length: {length!r}", Hostile(data, frozenset({400}), broken=True)
    two = request(RED, b"Content-Length: 3")
    yield "length: two", Hostile(two, frozenset({400}), broken=True)
    yield (
        "length: too low",
        Hostile(two.replace(b"Content-Length: %d" % len(RED), b"X: x"), frozenset({400, 415}), broken=True),
    )
    yield "length: none", Hostile(unsaid, frozenset({400, 422}), broken=True)
    much = request(RED, b"Content-Length: 300000000", length=False)
    yield "length: of 300 MB that don't come", Hostile(much, frozenset({413, NO_ANSWER}), unfinished=True)
    more = request(RED, b"Content-Length: 5000", length=False)
    yield "length: too high", Hostile(more, frozenset({NO_ANSWER}), unfinished=True)
    both = request(RED, b"Transfer-Encoding: chunked")
    yield "length: and chunks", Hostile(both, frozenset({400}), broken=True)
    yield "chunks: of one byte", Hostile(chunked(*(RED[i : i + 1] for i in range(len(RED)))), frozenset({200}))
    yield "chunks: with trailers", Hostile(chunked(RED, end=b"0\r\nX: x\r\n\r\n"), frozenset({200}))
    yield "chunks: none", Hostile(chunked(), frozenset({422}))
    yield "chunks: no last", Hostile(chunked(RED, end=b""), frozenset({NO_ANSWER}), unfinished=True)
    yield "chunks: 21 MB", Hostile(chunked(*[bytes(1_000_000)] * 21), frozenset({413}))
    sizes = (b"-1", b"zz", b"", b" ", b"f" * 17, b"1;" + b"x" * 100_000, b"1\n", b"0x5", b"5\r", b"+5")
    for size in sizes:
        data = chunked(end=size + b"\r\n" + RED + b"\r\n0\r\n\r\n")
        yield f"chunks: of size {size[:20]!r}", Hostile(data, frozenset({400}), broken=True)
    for encoding in (b"gzip, chunked", b"chunked, chunked", b"identity", b"chunked\r\nTransfer-Encoding: gzip"):
        data = chunked(RED).replace(b"Transfer-Encoding: chunked", b"Transfer-Encoding: " + encoding)
        yield f"chunks: {encoding!r}", Hostile(data, frozenset({200, 400, 422}), broken=True)


def _lines() -> Iterator[tuple[str, Hostile]]:
    """Request lines, and bytes that hold none."""
    path = b"/v1/classify"
    lines: dict[tuple[int, ...], tuple[bytes, ...]] = {
        (200,): (b"POST %b HTTP/1.0", b"POST http://elsewhere%b HTTP/1.1", b"\r\nPOST %b HTTP/1.1"),
        (200, 400): (b"POST  %b  HTTP/1.1", b"POST %b", b"POST %b HTTP/0.9", b"POST %b HTTP/2.0"),
        (400,): (b"POST\t%b\tHTTP/1.1", b"POST %b HTTP/1.1.1", b"POST %b FTP/1.1", b"POST x%b HTTP/1.1"),
        (400, 404): (b"POST * HTTP/1.1", b"OPTIONS * HTTP/1.1", b"CONNECT elsewhere:443 HTTP/1.1", b"PRI * HTTP/2.0"),
        (405,): tuple(
            method + b" %b HTTP/1.1"
            for method in (b"GET", b"HEAD", b"PUT", b"DELETE", b"PATCH", b"OPTIONS", b"TRACE", b"PROPFIND")
        ),
    }
    for method in (b"BREW", b"post", b"P", b"\xff", b"X" * 50_000):
        lines[400,] += (method + b" %b HTTP/1.1",)
    for allowed, formats in lines.items():
        for line in formats:
            data = request(line=line.replace(b"%b", path))
            yield f"line: {line[:30]!r}", Hostile(data, frozenset(allowed), broken=True)
    paths = (path + b"/", b"/" + path, b"/v1/../v1/classify", b"/v1/%2e%2e/classify", b"/V1/Classify", b"/v1;/classify")
    for other in (*paths, b"/v1/classify%00", b"/" + b"x" * 60_000, b"/%ff", b"/%", b"/etc/passwd", b"/v1%2fclassify/"):
        yield f"path: {other[:30]!r}", Hostile(request(target=other), frozenset({404}))
    socket = (
        b"Connection: upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: " + b"A" * 24
    )
    data = request(b"", socket, line=b"GET " + path + b" HTTP/1.1", length=False)
    yield "a web socket", Hostile(data, frozenset({400, 403, 404, 405}), broken=True)
    kept = request().replace(b"Connection: close\r\n", b"")
    yield "pipelined", Hostile(kept * 20 + request(), frozenset({200}))
    yield "pipelined, the second broken", Hostile(kept + b"\0" * 50, frozenset({200, 400}), broken=True)
    cuts = {"nothing at all": 0, "half a line": 11, "half the headers": 60, "half a body": -20}
    for name, cut in cuts.items():
        yield name, Hostile(request()[:cut], frozenset({NO_ANSWER}), unfinished=True)
    hello = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(range(256)) * 2
    for name, rubbish in {"TLS": hello, "SSH": b"SSH-2.0-x\r\n", "an image": RED, "zeros": bytes(100_000)}.items():
        yield f"not HTTP: {name}", Hostile(rubbish, frozenset({400}), unfinished=True, broken=True)


def _queries() -> Iterator[tuple[str, Hostile]]:
    """Queries that are repeated, huge, unknown, badly escaped or out of range."""
    many, long = b"&".join(b"a%d=" % i for i in range(5000)), b"x" * 60_000
    pair = form(*((IMAGE.replace(b'"image"', b'"image_%b"' % side), RED) for side in (b"a", b"b")))
    wrong = b"top_k=1&top_k=1 top_k=1&TOP_K=1 top_k=-1 top_k=1.5 top_k=%zz top_k=% top_k[]=1 image=http://x/ = a;b=c"
    names = b"model=../../etc/passwd model=%00 model=%ff%fe model=%ed%a0%80 model"
    classify = {
        200: [b"&&&&", b"#fragment"],
        400: [*wrong.split(), b"%" * 3000, many, long, b"top_k=" + b"9" * 5000],
        404: [*names.split(), b"model=" + long],
    }
    for status, queries in classify.items():
        for query in queries:
            yield f"query: {query[:30]!r}", Hostile(request(target=b"/v1/classify?" + query), frozenset({status}))
    for query in (b"top_k=\xd9\xa1", b"model=' OR 1=1", b"model=\xff", b"model=\0", b"model=\x7f", b"model=\x01"):
        data = request(target=b"/v1/classify?" + query)
        yield f"query: {query!r}", Hostile(data, frozenset({400, 404}), broken=True)
    others = {b"saliency?method=magic": 400, b"saliency?target=%00": 422, b"embed?model=scored": 404, b"embed?x=": 400}
    for target, status in others.items():
        yield f"query: {target!r}", Hostile(request(target=b"/v1/" + target), frozenset({status}))
    for query in (
        b"threshold=nan",
        b"threshold=1e999",
        b"threshold=-1.001",
        b"explain=maybe",
        b"explain=true&explain=",
    ):
        data = request(pair, target=b"/v1/duplicates?" + query, content_type=FORM)
        yield f"query: {query!r}", Hostile(data, frozenset({400}))
