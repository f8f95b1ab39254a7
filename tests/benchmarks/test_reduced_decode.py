from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.reduced_decode import main
from tests.hostile_files import encode
from tests.images.test_upright import waves


def test_the_table_has_a_row_a_factor(
    models_directory: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "large.jpg").write_bytes(encode(waves(1200, 1500), "JPEG"))
    (tmp_path / "small.jpg").write_bytes(encode(waves(600, 1500), "JPEG"))
    (tmp_path / "broken.jpg").write_bytes(b"\xff\xd8\xff")
    assert main(["--photos", str(tmp_path), "--models", str(models_directory)]) == 0
    output = capsys.readouterr()
    assert output.err.startswith("broken.jpg: ")
    assert "\n1 photos; " in output.out
    rows = [line for line in output.out.splitlines() if "×" in line]
    assert [row.split()[1] for row in rows] == ["1", "1.5", "2", "3"]
    assert "2 × (served)" in rows[2]


def test_a_folder_without_large_photos(models_directory: Path, tmp_path: Path) -> None:
    assert main(["--photos", str(tmp_path), "--models", str(models_directory)]) == 1
