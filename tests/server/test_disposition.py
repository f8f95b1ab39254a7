"""Names as clients of many kinds write them. What curl, requests, httpx, aiohttp and undici send was noted from
them; the examples of RFC 8187 are those of its section 3.2.3."""

from __future__ import annotations

import time

import pytest

from phototriage.common.errors import MalformedRequest
from phototriage.server.disposition import Disposition, read


def name_of(parameters: str) -> str | None:
    """The file's name in a part called "image" with these parameters."""
    kind, name, file_name = read(f'form-data; name="image"; {parameters}'.encode())
    assert (kind, name) == ("form-data", "image")
    return file_name


@pytest.mark.parametrize(
    ("sent", "name"),
    [
        ('filename="cat.jpg"', "cat.jpg"),
        ("filename=cat.jpg", "cat.jpg"),
        ('FileName = "cat.jpg" ', "cat.jpg"),
        ('filename=""', ""),
        ("filename=", ""),
        ('filename="猫.jpg"', "猫.jpg"),
        ('filename="a;b=c.jpg"', "a;b=c.jpg"),
        ('filename="it\'s.jpg"', "it's.jpg"),
        (r'filename="a%22b.jpg"', 'a"b.jpg'),  # browsers, curl, requests, httpx
        (r'filename="a\"b.jpg"', 'a"b.jpg'),  # Go, curl --form-escape
        (r'filename="a\"; b.jpg"', 'a"; b.jpg'),
        ('filename="a"b.jpg"', 'a"b.jpg'),  # clients that escape nothing
        (r'filename="a%0D%0ab.jpg"', "a\r\nb.jpg"),
        (r'filename="100%25 %E7.jpg"', "100%25 %E7.jpg"),  # a name's own percents
        (r'filename="a\b.jpg"', r"a\b.jpg"),  # browsers, curl, requests
        (r'filename="a\\b.jpg"', r"a\b.jpg"),  # httpx, Go
        ('filename="a\\"', "a\\"),
        ('filename="a\\\\"', "a\\"),
        ('filename="a\\"; size=3', "a\\"),
        (r'filename="C:\photos\cat.jpg"', "cat.jpg"),
        (r'filename="C:\\photos\\cat.jpg"', "cat.jpg"),
        (r'filename="\\\\nas\\photos\\cat.jpg"', "cat.jpg"),
        ('filename="cat.jpg', "cat.jpg"),
        ('; filename="cat.jpg";;', "cat.jpg"),
        ('nonsense; "x"; filename="cat.jpg"', "cat.jpg"),
        ("size=3", None),
        ('x="; filename=a"', None),
    ],
)
def test_plain_names(sent: str, name: str | None) -> None:
    assert name_of(sent) == name


@pytest.mark.parametrize(
    ("sent", "name"),
    [
        ("filename*=utf-8''%e7%8c%ab.jpg", "猫.jpg"),  # urllib3 before 1.25
        ("filename*=UTF-8''%c2%a3%20and%20%e2%82%ac%20rates", "£ and € rates"),
        ("filename*=iso-8859-1'en'%A3%20rates", "£ rates"),
        ("filename*=UTF-8''", ""),
        ("filename*=UTF-8''it's%22.jpg", "it's\".jpg"),
        ("filename*=\"UTF-8''%e7%8c%ab.jpg\"", "猫.jpg"),
        ("filename* = UTF-8''cat.jpg", "cat.jpg"),
        ("filename=\"cat.jpg\"; filename*=UTF-8''%e7%8c%ab.jpg", "猫.jpg"),
        ("filename*=UTF-8''%e7%8c%ab.jpg; filename=\"cat.jpg\"", "猫.jpg"),
    ],
)
def test_names_by_rfc_8187_come_before_plain_ones(sent: str, name: str) -> None:
    assert name_of(sent) == name


UNREADABLE = (
    "filename*=cat.jpg",
    "filename*=",
    "filename*=utf-8'cat.jpg",
    "filename*=''cat.jpg",
    "filename*=utf-16''cat.jpg",
    "filename*=utf-8''%e7%8c",
    "filename*=utf-8''%ff",
    "filename*=utf-8''100%",
    "filename*=utf-8''%zz",
)


@pytest.mark.parametrize("sent", UNREADABLE)
def test_what_is_not_by_rfc_8187_is_refused_where_no_plain_name_is(sent: str) -> None:
    assert name_of(f'{sent}; filename="cat.jpg"') == "cat.jpg"
    with pytest.raises(MalformedRequest, match=r"'image' has .filename\*.*percent-encoded"):
        name_of(sent)


def test_a_name_in_several_pieces_is_refused_and_not_taken_for_none() -> None:
    with pytest.raises(MalformedRequest, match=r"filename\*0=a"):
        name_of('filename*0="a"; filename*1="b.jpg"')


@pytest.mark.parametrize(
    ("header", "kind", "name"),
    [
        (b"", "", ""),
        (b"Form-Data", "form-data", ""),
        (b'form-data;name=image;filename="\xff\xe9"', "form-data", "image"),
        (b'form-data; filename="name=x"; name="image"', "form-data", "image"),
        (b'attachment; name="im\xc3\xa4ge"', "attachment", "imäge"),
    ],
)
def test_kinds_and_names(header: bytes, kind: str, name: str) -> None:
    assert read(header)[:2] == (kind, name)


def test_bytes_that_are_no_utf_8_are_replaced() -> None:
    assert read(b'form-data; name="image"; filename="\xffa"') == Disposition("form-data", "image", "\ufffda")


@pytest.mark.parametrize("piece", ['"', "\\", '\\"', '" ', " ", ";", "=", "%", "'", 'a="', "a*="])
def test_hostile_headers_take_no_time(piece: str) -> None:
    text = f'form-data; name="image"; filename="{piece * 4000}'.encode()
    begin = time.perf_counter()
    read(text)
    assert time.perf_counter() - begin < 1
