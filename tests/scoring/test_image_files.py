from __future__ import annotations

from pathlib import Path

import pytest

from phototriage.common.progress import Progress
from phototriage.images.pixels import ImageLimits
from phototriage.models.model_set import Models
from phototriage.scoring.image_files import embed_files
from tests.drawings import write_folder
from tests.tiny_models import solid


def test_rows_follow_the_files_that_can_be_read(
    models: Models, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("phototriage.scoring.image_files.BATCH", 2)
    files = {"1.png": solid((255, 0, 0)), "2.png": b"", "3.png": b"x", "4.png": solid((0, 255, 0)), "5.png": b""}
    write_folder(tmp_path, files)
    paths = [Path(name) for name in (*files, "6.png")]
    embedded = embed_files(models.embedder(), paths, ImageLimits(), Progress(6), tmp_path)
    assert embedded.paths == [Path("1.png"), Path("4.png")]
    assert (embedded.vectors > 0).tolist() == [[True, False, False], [False, True, False]]
    assert list(embedded.failures) == [Path(name) for name in ("2.png", "3.png", "5.png", "6.png")]
    assert embedded.failures[Path("6.png")] == "No such file or directory"
    assert capsys.readouterr().err.startswith("6 of 6 images")
