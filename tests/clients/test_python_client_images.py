"""What the Python client takes for an image, and what it sends of it."""

from __future__ import annotations

import io
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from phototriage_client import UnreadableImage
from phototriage_client.picture import read_picture
from PIL import Image

from phototriage.images.pixels import ImageLimits, decode
from tests.drawings import drawing
from tests.tiny_models import solid

RED = solid((255, 0, 0))
NOISE = np.random.default_rng(0).integers(0, 256, (7, 5, 4), np.uint8)


def opened(content: bytes) -> Image.Image:
    return Image.open(io.BytesIO(content))


class Gives:
    """A file of a kind of its own."""

    def __init__(self, content: Any) -> None:
        self._content = content

    def read(self, size: int = -1, /) -> Any:
        if isinstance(self._content, Exception):
            raise self._content
        return self._content


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview, io.BytesIO, Gives])
def test_content_is_sent_as_it_is(kind: Any) -> None:
    picture = read_picture(kind(RED))
    assert (picture.content, picture.name) == (RED, "image")


def test_a_path_is_read_and_its_last_part_is_the_name(tmp_path: Path) -> None:
    path = tmp_path / "räd.png"
    path.write_bytes(RED)
    for source in (path, str(path)):
        assert read_picture(source).content == RED
        assert read_picture(source).name == "räd.png"
    with path.open("rb") as file:
        assert read_picture(file).name == "räd.png"


def test_a_name_that_is_no_text_is_still_sent(tmp_path: Path) -> None:
    path = tmp_path / "r\udce4d.png"  # as Latin-1 named it
    path.write_bytes(RED)
    assert read_picture(path).name == "r?d.png"


def test_a_file_is_read_from_where_it_is() -> None:
    file = io.BytesIO(b"before" + RED)
    file.seek(6)
    assert read_picture(file).content == RED


@pytest.mark.parametrize("array", [NOISE[..., :3], NOISE, NOISE[..., 0], NOISE[::-1, ::2, 2::-1]])
def test_an_array_is_sent_without_loss(array: np.ndarray[Any, Any]) -> None:
    image = opened(read_picture(array).content)
    assert image.format == "PNG"
    assert image.mode == {2: "L", 3: "RGB" if array.shape[-1] == 3 else "RGBA"}[array.ndim]
    assert np.array_equal(np.asarray(image), array)


@pytest.mark.parametrize(
    "array",
    [
        NOISE.astype(np.float32),
        NOISE.astype(np.uint16),
        NOISE[..., :2],
        NOISE[0, 0],
        NOISE[np.newaxis],
        NOISE[:0],
        NOISE[..., :0],
        np.array(3, np.uint8),
    ],
)
def test_an_array_that_is_no_image_says_what_would_be(array: np.ndarray[Any, Any]) -> None:
    with pytest.raises(UnreadableImage, match=r"is no image\. Give uint8"):
        read_picture(array)


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "I;16"])
def test_a_pillow_image_is_sent_without_loss(mode: str) -> None:
    image = Image.fromarray(NOISE[..., :3]).convert("L").convert(mode) if mode == "I;16" else drawing(1).convert(mode)
    sent = opened(read_picture(image).content)
    assert (sent.format, sent.mode) == ("PNG", mode)
    assert sent.tobytes() == image.tobytes()
    assert sent.getpalette() == image.getpalette()


@pytest.mark.parametrize("mode", ["CMYK", "YCbCr", "HSV", "F", "I"])
def test_a_pillow_image_that_png_can_not_hold_says_so(mode: str) -> None:
    with pytest.raises(UnreadableImage, match=rf"mode '{mode}' can't be sent without loss"):
        read_picture(drawing(1).convert(mode))


@pytest.mark.parametrize("orientation", range(1, 9))
def test_the_server_sees_a_photo_alike_by_file_and_opened(tmp_path: Path, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112], exif[0x010E] = orientation, "who and where"
    path = tmp_path / "photo.jpg"
    drawing(2).save(path, exif=exif)
    with Image.open(path) as image:
        picture = read_picture(image)
    assert picture.name == "photo.jpg"
    assert b"who and where" not in picture.content
    seen, expected = (decode(content, ImageLimits()) for content in (picture.content, path.read_bytes()))
    assert np.array_equal(np.asarray(seen), np.asarray(expected))


def test_a_truncated_pillow_image_is_unreadable() -> None:
    buffer = io.BytesIO()
    drawing(3).save(buffer, "JPEG")
    with pytest.raises(UnreadableImage, match="can't be written as PNG"):
        read_picture(opened(buffer.getvalue()[:-200]))


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("nowhere.jpg", "nowhere.jpg can't be read: No such file"),
        (Path("nowhere.jpg"), "can't be read"),
        ("a\0b", "can't be read"),
        (".", "can't be read"),
        (Gives("text"), "gave 'str', not bytes"),
        (Gives(ConnectionResetError("gone")), "gone"),
        (None, "made of 'NoneType'"),
        (3, "made of 'int'"),
        ([b"x"], "made of 'list'"),
    ],
)
def test_what_can_not_be_read_says_why(source: Any, message: str) -> None:
    with pytest.raises(UnreadableImage, match=message):
        read_picture(source)


def test_a_closed_file_is_unreadable() -> None:
    file = io.BytesIO(RED)
    file.close()
    with pytest.raises(UnreadableImage, match="closed file"):
        read_picture(file)


def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.jpg")
    with pytest.raises(UnreadableImage, match=r"pipe\.jpg is no file but a pipe"):
        read_picture(tmp_path / "pipe.jpg")
