"""The benchmark of the index, on few vectors."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from benchmarks import index_search
from phototriage.model_folder.manifest import read
from tests.index.test_image_index import families

pytest.importorskip("usearch")
pytest.importorskip("threadpoolctl")


def test_mixtures_have_parts_of_length_one_and_are_the_same_each_time() -> None:
    views = families(1, 60, (8, 64))
    found = [np.concatenate([*index_search.mixtures(views, (8, 64), 500, np.random.default_rng(7))]) for _ in range(2)]
    assert found[0].shape == (500, 72)
    assert np.array_equal(found[0], found[1])
    assert np.linalg.norm(found[0][:, :8], axis=1) == pytest.approx(1, abs=1e-6)


def test_it_measures_an_index_and_says_whether_it_passes(
    models_directory: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    manifest = read(models_directory / "tiny_embedder")
    vectors = families(2, 180, manifest.embedding_parts)
    made_of = f"{manifest.version} photos.tar"
    first, other = vectors[:60], vectors[60:120]
    np.savez(tmp_path / "views.npz", made_of=made_of, original=first, first=other, second=first)
    command = ["--data", "photos.tar", "--model", str(models_directory / "tiny_embedder"), "--folder", str(tmp_path)]
    command += ["--vectors", "300", "--settings", "150", "--lance", "0", "--queries", "40"]
    assert index_search.main(command) == 0
    told = capsys.readouterr().out
    assert "40 queries of each kind" in told
    for name in ("5,300 images, threads: 2", "150 images, search by one thread", "chosen", "bf16", "connectivity 32"):
        assert name in told
    (line,) = (line for line in told.splitlines() if line.startswith("| 5,300 images, threads: 1"))
    assert line.split("|")[2].strip().startswith("1.0000 (0.9")
    monkeypatch.setattr(index_search, "MILLISECONDS", 0)
    assert index_search.main([*command, "--settings", "0"]) == 1
