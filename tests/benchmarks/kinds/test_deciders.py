from __future__ import annotations

from pathlib import Path
from unittest.mock import Mock

import numpy as np
import pytest
from PIL import Image

from benchmarks.duplicate_peers import Hash
from benchmarks.kinds import deciders as module
from benchmarks.kinds.deciders import EMBEDDING, INLIERS, SERVED, by_hash, deciders
from benchmarks.kinds.edits import copied
from benchmarks.kinds.features import Features, features_of
from phototriage.models.loading import load_embedder
from phototriage.settings import Settings
from tests.tiny_models import write_embedder
from tests.verification.photos import drawn_photo


def test_all_know_a_copy_and_what_is_served_has_its_own_threshold(tmp_path: Path) -> None:
    write_embedder(tmp_path / "tiny")
    model = load_embedder(tmp_path / "tiny", Settings(provider="cpu"))
    found, hashes, _ = deciders(model)
    assert list(found)[:2] == [SERVED, EMBEDDING]
    first, second = (Image.fromarray(drawn_photo(seed)) for seed in (1, 2))
    a, copy, b = (features_of(image, model, hashes) for image in (first, copied(first), second))
    for name, decide in found.items():
        assert decide(a, copy).is_duplicate, name
        assert decide(a, copy).score > decide(a, b).score, name
    for name in set(found) - {SERVED, EMBEDDING}:  # the tiny embedder knows mean colours only
        assert not found[name](a, b).is_duplicate, name
    red, green = (features_of(Image.new("RGB", (40, 30), colour), model, hashes) for colour in ("#ff0000", "#00ff00"))
    assert found[EMBEDDING](red, green).score == pytest.approx(-1 / 3)
    assert found[INLIERS](red, green) == (False, 0)


def test_a_hash_counts_bits_that_differ() -> None:
    peer = Hash("bits", lambda image: np.zeros(64, bool))

    def with_ones(count: int) -> Features:
        bits = np.arange(64) < count
        return Features(np.zeros(1, np.float32), Mock(), {"bits": np.stack([bits, ~bits])})

    assert by_hash(peer, 10 / 64, with_ones(0), with_ones(10)) == (True, 1 - 10 / 64)
    assert not by_hash(peer, 10 / 64, with_ones(0), with_ones(11)).is_duplicate


def test_what_is_not_installed_is_left_out_and_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def absent() -> Hash:
        raise ImportError("No module named 'pdqhash'")

    write_embedder(tmp_path / "tiny")
    monkeypatch.setattr(module, "HASHES", ((absent, 0.1),))
    found, hashes, missing = deciders(load_embedder(tmp_path / "tiny", Settings(provider="cpu")))
    assert (set(found), hashes) == ({SERVED, EMBEDDING, INLIERS}, [])
    assert missing == ["absent is left out: No module named 'pdqhash'"]
