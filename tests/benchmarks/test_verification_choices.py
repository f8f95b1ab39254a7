"""Both tables, on drawn photos."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from benchmarks import local_detectors, local_features, signature_size, verification_sets
from benchmarks.signature_size import Setting, kept_as
from phototriage.verification import registration, signature
from tests.benchmarks.kinds.photos import write_sources
from tests.verification.photos import drawn_photo
from training.networks.embedder import Embedder, EmbedderSpec


@pytest.fixture
def arguments(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    houses, caltech = write_sources(tmp_path)
    torch.manual_seed(0)
    monkeypatch.setattr(verification_sets, "published_backbone", lambda: Embedder(EmbedderSpec()).eval())
    monkeypatch.setattr(signature_size, "SAMPLE", 3)
    given = ["--houses", str(houses), "--caltech", str(caltech), "--photos", "4", "--drawn", "5"]
    return [*given, "--json", str(tmp_path / "figures.json")]


def test_a_setting_holds_while_it_is_measured() -> None:
    photo = drawn_photo(1)
    with kept_as(Setting(96, 90)):
        kept = signature.signature_of(photo)
        assert registration.TOLERANCE == 2
    assert kept.grey.shape == (72, 96)
    assert (signature.SIDE, registration.TOLERANCE) == (192, 4)
    with pytest.raises(signature.SignatureError), kept_as(Setting(48, 90)):
        signature.decode(kept.encoded)


def test_signatures_of_two_sides(
    arguments: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(signature_size, "SIDES", (96,))
    monkeypatch.setattr(signature_size, "KILOBYTES", (2,))
    assert signature_size.main(arguments) == 0
    printed = capsys.readouterr().out
    figures = json.loads((tmp_path / "figures.json").read_text())
    assert [one["setting"]["side"] for one in figures["settings"]] == [96, 192]
    assert figures["settings"][0]["cost"]["bytes"] == pytest.approx(2000, rel=signature_size.NEAR)
    assert "| 192 (ships) | 40 |" in printed
    jpeg, *peers = figures["formats"]
    assert jpeg["name"] == "JPEG"
    assert all(one["error"] <= jpeg["error"] for one in peers)


def test_points_beside_none(
    arguments: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    every, missing = local_detectors.detectors(None)
    monkeypatch.setattr(local_features, "detectors", lambda attention: (every[:2], missing))
    assert local_features.main(arguments) == 0
    printed = capsys.readouterr().out
    sift, none = json.loads((tmp_path / "figures.json").read_text())["detectors"]
    assert (none["registered"], none["cost"]["points"], none["cost"]["bytes"]) == (0, 0, 0)
    assert sift["registered"] > 0
    assert sift["cost"]["bytes"] == sift["cost"]["points"] * 130
    assert f"| {sift['name']} | " in printed
    assert missing[-1] in printed
