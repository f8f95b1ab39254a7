from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from training.drawings import KINDS, draw, draw_set
from training.drawings.kinds import TEMPLATES


def pixels(image: Image.Image) -> bytes:
    return image.tobytes()


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_numbers_draw_the_same_image(kind: str) -> None:
    first, again = draw(kind, 3, 1, seed=5), draw(kind, 3, 1, seed=5)
    assert (first.mode, first.size) == (again.mode, again.size)
    assert pixels(first) == pixels(again)
    assert first.mode == ("RGBA" if kind == "transparent art" else "RGB")
    assert min(first.size) >= 250


@pytest.mark.parametrize("kind", KINDS)
def test_all_of_a_set_are_different(kind: str) -> None:
    images = draw_set(kind, 2 * TEMPLATES)
    assert len({(image.size, pixels(image)) for image in images}) == len(images)


@pytest.mark.parametrize("kind", ["slide", "form", "document"])
def test_two_of_one_template_share_more_than_two_of_different_ones(kind: str) -> None:
    """Furniture, margins and colours are the template's; words are not."""

    def grey(number: int, template: int) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
        return np.asarray(draw(kind, number, template).convert("L").resize((96, 96)), np.float32)

    one = np.mean([np.abs(grey(n, 0) - grey(n + 1, 0)).mean() for n in range(4)])
    other = np.mean([np.abs(grey(n, 0) - grey(n + 1, 1 + n % 3)).mean() for n in range(4)])
    assert one < other


def test_an_unknown_kind_is_refused() -> None:
    with pytest.raises(KeyError):
        draw("oil painting", 0, 0)
