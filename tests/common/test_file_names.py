from __future__ import annotations

import os

import pytest

from phototriage.common.file_names import printable


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("café, ☃.png", "café, ☃.png"),
        (os.fsdecode(b"caf\xe9\xff.png"), r"caf\xe9\xff.png"),
        ("\ud83d.png", r"\ud83d.png"),  # half of a pair, which no system's name has
    ],
)
def test_names_become_text_that_utf_8_can_hold(name: str, text: str) -> None:
    assert printable(name) == text
    assert text.encode()
