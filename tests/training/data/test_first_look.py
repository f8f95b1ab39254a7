from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.drawings import picture, two_classes, write_folder, write_tar
from training.data import first_look as look
from training.data.first_look import first_look
from training.data.photos import require_photos

FEW = {f"{number}.png": picture(number) for number in range(2)}


def test_too_few_images_are_told_without_torch(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "pets", two_classes(1))
    command = [sys.executable, "-X", "importtime", "-m", "training.classifier", "--data", str(folder), "--name", "x"]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stdout) == (2, "")
    assert "About 50 images of each class are enough" in ended.stderr
    assert "torch" not in ended.stderr


@pytest.mark.parametrize(
    ("check", "files", "told"),
    [
        (look.classes, {"train/cat/1.png": picture(1), "val/cat/2.png": picture(2)}, "the one class cat"),
        (look.classes, FEW, "there are no classes to tell apart"),
        (look.classes, {"cat/1.png": b"", "dog/1.png": b""}, "None of 2 images can be read"),
        (require_photos, FEW, "About 100 photos are enough, of which a tenth validates"),
        (look.images, FEW, "it needs two and one at least. About 50 images are enough"),
    ],
)
@pytest.mark.parametrize("packed", [False, True])
def test_what_can_not_be_trained_on_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], check: object, files: dict[str, bytes], told: str, packed: bool
) -> None:
    path = write_tar(tmp_path / "set.tar", files) if packed else write_folder(tmp_path / "set", files)
    assert first_look(["--name", "x", "--data", str(path), "--epochs", "3"], check) == 2  # type: ignore[arg-type]
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert told in error


def test_enough_images_and_what_is_no_matter_of_theirs_pass(tmp_path: Path) -> None:
    splits = {f"{split}/{name}": content for split in ("train", "val", "test") for name, content in FEW.items()}
    both = {
        f"{split}/{label}/{split}.png": picture(n)
        for n, (split, label) in enumerate(
            (split, label) for split in ("train", "val", "test") for label in ("cat", "dog")
        )
    }
    pets, flat = write_folder(tmp_path / "pets", both), write_folder(tmp_path / "flat", splits)
    assert first_look(["--data", str(pets)], look.classes) == 0
    assert first_look(["--data", str(flat), str(pets), "--val-keys", "^flat"], require_photos) == 0
    assert first_look(["--data", str(flat)], look.images) == 0
    assert first_look(["--name", "x"], look.classes) == first_look(["--help"], look.classes) == 0


def test_a_large_set_is_not_read_twice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(look, "SMALL", 2)
    folder = write_folder(tmp_path / "pets", {f"cat/{number}.png": b"" for number in range(3)})
    assert first_look(["--data", str(folder)], look.classes) == 0
