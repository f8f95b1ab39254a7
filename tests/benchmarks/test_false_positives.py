from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from benchmarks import false_positives
from benchmarks.false_positives import call
from phototriage.duplicates.pairs import near_pairs
from tests.drawings import encoded, write_folder
from tests.tiny_models import write_embedder


def test_known_pairs_neither_count_nor_are_counted() -> None:
    """Of five pictures 0 and 1 are known to be the same; 2 and 3 are as similar, 4 is like none."""
    angles = np.radians([0, 5, 60, 63, 180])
    embeddings = np.stack([np.cos(angles), np.sin(angles)], 1).astype(np.float32)
    found = call(near_pairs(embeddings, 0.9), np.array([4, 4, 1, 2, 3]))
    assert found.pairs == 5 * 4 / 2 - 1
    assert (found.same.first.tolist(), found.same.second.tolist()) == ([0], [1])
    assert (found.different.first.tolist(), found.different.second.tolist()) == ([2], [3])
    assert found.different.similarity[0] == pytest.approx(np.cos(np.radians(3)), abs=1e-6)


def test_the_most_similar_come_first() -> None:
    angles = np.radians([0, 20, 90, 91])
    embeddings = np.stack([np.cos(angles), np.sin(angles)], 1).astype(np.float32)
    assert call(near_pairs(embeddings, 0.9), np.arange(4)).different.first.tolist() == [2, 0]


def test_the_command_counts_lists_and_shows(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Four photos of one colour each: two reds are similar, and two greys of one shade are one picture."""
    colours = {"a": (250, 0, 0), "b": (240, 10, 0), "c": (0, 0, 250), "d": (0, 250, 250), "e": (0, 250, 250)}
    files = {f"{name}.png": encoded(Image.new("RGB", (40, 30), colour)) for name, colour in colours.items()}
    write_folder(tmp_path / "photos", files)
    write_embedder(tmp_path / "tiny")
    picture, record = tmp_path / "runs" / "called.png", tmp_path / "figures.json"
    arguments = ["--data", str(tmp_path / "photos"), "--model", str(tmp_path / "tiny")]
    assert false_positives.main([*arguments, "--to", str(picture), "--json", str(record)]) == 0
    printed = capsys.readouterr().out
    assert "photos: 1 of 9 pairs of different photos called duplicates, from a similarity of 0.9 on: " in printed
    assert "111111.111 per million" in printed
    counted, known = printed.split("called, and known to be the same picture:")
    assert "a.png b.png" in counted
    assert "d.png e.png" in known
    with Image.open(picture) as image:
        assert image.width >= 2 * false_positives.CELL
    assert json.loads(record.read_text())["called"] == 1


def test_a_missing_model_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_folder(tmp_path / "photos", {"a.png": encoded(Image.new("RGB", (40, 30)))})
    assert false_positives.main(["--data", str(tmp_path / "photos"), "--model", str(tmp_path / "none")]) == 1
    assert "error: " in capsys.readouterr().err
