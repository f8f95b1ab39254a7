"""The views of photos that a head is fitted to."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.drawings import drawing, encoded, write_folder
from tests.tiny_models import input_rule
from training.data.photos import Photos, load_photos
from training.embedder import discriminant_head as discriminant_head
from training.embedder.discriminant_head import HEAD_VIEWS, head_shots
from training.loop.compute import Compute
from training.networks.embedder import Embedder, EmbedderSpec
from training.pairs.labelled_pairs import Shot


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    return write_folder(tmp_path / "photos", {f"{i:02}.png": encoded(drawing(i)) for i in range(40)})


def test_each_photo_is_shown_as_it_is_and_reposted(photos: Path) -> None:
    loaded = load_photos([photos], progress=False)
    shots = head_shots(loaded, 5, 7)
    shown = [shots[i : i + HEAD_VIEWS] for i in range(0, len(shots), HEAD_VIEWS)]
    assert [{shot.photo for shot in views} for views in shown] == [{views[0].photo} for views in shown]
    chosen = [views[0].photo for views in shown]
    assert len(chosen) == len(set(chosen)) == 7
    assert set(chosen) <= set(loaded.numbers("train"))
    assert [[bool(shot.steps) for shot in views] for views in shown] == [[False, True, True, True]] * 7
    assert head_shots(loaded, 5, 7) == shots != head_shots(loaded, 6, 7)


def test_the_head_is_fitted_to_these_views(photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    loaded, seen = load_photos([photos], progress=False), list[Shot]()

    def answers(network: Embedder, answer: object, photos: Photos, shots: Sequence[Shot], *_: Any, **__: Any) -> Any:
        seen.extend(shots)
        return np.random.default_rng(0).normal(size=(len(shots), network.head.in_features))

    monkeypatch.setattr(discriminant_head, "outputs_for", answers)
    network = Embedder(EmbedderSpec(dimension=2, taps=(1,)))
    discriminant_head.fit_head(network, loaded, input_rule(), Compute(), seed=5, most=7, shrinkage=0.3)
    assert seen == head_shots(loaded, 5, 7)
