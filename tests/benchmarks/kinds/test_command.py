"""The whole benchmark, on drawn photos and a tiny embedder."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from PIL import Image

from benchmarks.kinds import __main__ as command
from benchmarks.kinds import pasted_sets
from tests.benchmarks.kinds.photos import write_sources
from tests.tiny_models import write_embedder
from training.networks.embedder import Embedder, EmbedderSpec


def test_all_sets_of_photos(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    houses, caltech = write_sources(tmp_path)
    write_embedder(tmp_path / "tiny")
    torch.manual_seed(0)
    monkeypatch.setattr(pasted_sets, "published_backbone", lambda: Embedder(EmbedderSpec()).eval())
    arguments = ["--on", "test", "--houses", str(houses), "--caltech", str(caltech), "--model", str(tmp_path / "tiny")]
    arguments += ["--sets", "photos", "pasted", "--count", "4", "--mistakes", str(tmp_path / "mistakes")]
    outputs = {name: tmp_path / f"out/{name}" for name in ("json", "metrics", "picture")}
    for name, path in outputs.items():
        arguments += [f"--{name}", f"{path}.png" if name == "picture" else str(path)]
    assert command.main(arguments) == 0
    printed = capsys.readouterr().out
    sets = json.loads(outputs["json"].read_text())["sets"]
    assert len(sets) == 2 + 3 + 1 + 1 + 6 + 1 + 4
    assert all(f"| {one['name']} | {one['copies']:,} |" in printed for one in sets)
    assert "for development only" not in printed
    assert {metric["split"] for metric in json.loads(outputs["metrics"].read_text())} == {"test"}
    with Image.open(f"{outputs['picture']}.png") as picture:
        assert picture.height > 100 * len(sets)
    assert any((tmp_path / "mistakes").iterdir())


def test_photos_are_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        command.main(["--on", "val"])
    assert "give --houses and --caltech" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        command.main(["--on", "val", "--sets", "drawn", "--count", "2"])


def test_a_missing_model_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert command.main(["--on", "val", "--sets", "drawn", "--model", str(tmp_path / "none")]) == 1
    assert "error: " in capsys.readouterr().err
