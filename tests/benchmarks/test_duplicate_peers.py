from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from unittest.mock import Mock

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageOps

from benchmarks import duplicate_peers
from benchmarks.duplicate_peers import Hash, difference_hash, exported, pdq, peers, perceptual_hash
from tests.drawings import drawing
from tests.tiny_models import write_embedder


def bright(image: Image.Image) -> NDArray[np.bool_]:
    """A hash worked out by hand: a bit for each pixel of an 8×8 picture."""
    return (np.asarray(image.convert("L")) > 127).ravel()


def spots(*places: tuple[int, int]) -> Image.Image:
    """An 8×8 picture, black with white pixels at (row, column)."""
    pixels = np.zeros((8, 8, 3), np.uint8)
    for place in places:
        pixels[place] = 255
    return Image.fromarray(pixels)


def similarity(peer: duplicate_peers.Peer, left: Image.Image, right: Image.Image) -> float:
    codes = peer.describe([left, right])
    return float(peer.similarities(codes[:1], codes[1:])[0])


def test_similarity_is_the_share_of_equal_bits() -> None:
    peer = Hash("bright", bright)
    assert similarity(peer, spots((0, 0), (0, 1), (5, 2)), spots((0, 0))) == 1 - 2 / 64


def test_of_plain_and_mirrored_the_closer_counts() -> None:
    peer = Hash("bright", bright)
    # Mirrored, (0, 0) and (3, 1) are (0, 7) and (3, 6): nothing is left but the third spot.
    assert similarity(peer, spots((0, 0), (3, 1)), spots((0, 7), (3, 6), (7, 4))) == 1 - 1 / 64


@pytest.mark.parametrize(
    ("maker", "package"),
    [(difference_hash, "numpy"), (perceptual_hash, "imagehash"), (pdq, "pdqhash")],
    ids=["dHash", "pHash", "PDQ"],
)
def test_hashes_know_equal_and_mirrored_pictures(maker: Callable[[], Hash], package: str) -> None:
    pytest.importorskip(package)
    peer = maker()
    for seed in range(5):
        assert similarity(peer, drawing(seed), drawing(seed)) == 1
        assert similarity(peer, drawing(seed), ImageOps.mirror(drawing(seed))) == 1
        assert similarity(peer, drawing(seed), drawing(seed + 50)) < 0.85


def test_dhash_of_a_slope_and_of_one_colour() -> None:
    # Brightness rises everywhere, or nowhere: all of the 64 bits differ, mirrored too.
    slope = Image.fromarray(np.tile(np.arange(0, 252, 7, dtype=np.uint8), (36, 1))).convert("RGB")
    assert similarity(difference_hash(), slope, Image.new("RGB", (36, 36))) == 0
    assert similarity(difference_hash(), slope, ImageOps.mirror(slope)) == 1


def test_an_exported_model_runs_as_served(tmp_path: Path) -> None:
    write_embedder(tmp_path / "tiny")
    peer = exported(tmp_path / "tiny")
    red, green = (Image.new("RGB", (40, 30), colour) for colour in ("#ff0000", "#00ff00"))
    assert similarity(peer, red, green) == pytest.approx(-1 / 3)
    assert similarity(peer, red, red) == 1
    assert (peer.name, peer.own_threshold) == ("tiny", 0.9)


def test_what_is_not_installed_is_left_out_and_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(duplicate_peers, "import_module", Mock(side_effect=ImportError("No module named 'pdqhash'")))
    found, missing = peers(["pdq", "dhash"], Mock(), 0)
    assert [peer.name for peer in found] == ["dHash"]
    assert missing == ["pdq is left out: No module named 'pdqhash'"]
