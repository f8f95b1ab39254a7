"""The study of what agreement in layout should do."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from phototriage.duplicates.layout_rescoring import LayoutRescoring
from tests.drawings import drawing, encoded, write_folder
from tests.tiny_models import decision, write_embedder
from training.studies.layout_rescoring import Signals, combinations, log_loss, main, table


def test_each_combination_comes_once() -> None:
    found = combinations()
    assert len({rescoring.model_dump_json() for rescoring in found}) == len(found) == 5 * 4 * (1 + 5 * 3 * 2)


def test_the_loss_of_a_similarity_that_tells_all_or_nothing() -> None:
    same = np.array([True, False] * 50)
    assert log_loss(np.zeros(100), same) == pytest.approx(np.log(2), abs=1e-6)
    assert log_loss(same.astype(float) * 2, same) < 0.01


def test_the_best_comes_first_and_doubt_where_it_pays() -> None:
    # Hard negatives agree by .65 and are as similar as the cropped copies, which agree in nothing.
    rng = np.random.default_rng(0)
    same = np.arange(2000) < 1000
    agreement = np.where(same, 0.1, 0.65)
    cosine = rng.uniform(0.4, 0.6, 2000)
    rows = table(Signals(cosine, agreement, same)).splitlines()[2:]
    losses = [float(row.split("|")[-2]) for row in rows]
    assert losses[2:] == sorted(losses[2:])
    assert losses[0] == pytest.approx(np.log(2), abs=0.01)
    assert losses[2] < 0.5 * losses[1]
    assert rows[2].split("|")[3] == " 0.24 "


def test_from_photos_to_a_table(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    photos = write_folder(tmp_path / "photos", {f"{i:02}.png": encoded(drawing(i)) for i in range(20)})
    write_embedder(tmp_path / "looking", decision=decision(layout_rescoring=LayoutRescoring()))
    arguments = ["--data", str(photos), "--workers", "0", "--val-keys", r"/0\d", "--model"]
    assert main([*arguments, str(tmp_path / "looking")]) == 0
    told = capsys.readouterr().out
    assert "90 pairs of 10 train photos, 30 of one photo" in told
    write_embedder(tmp_path / "plain")
    assert main([*arguments, str(tmp_path / "plain")]) == 2
    assert "has no layout re-scoring" in capsys.readouterr().err
