from __future__ import annotations

from pathlib import Path

from phototriage.scoring.folder_walk import PassedOver, find
from phototriage.scoring.image_files import reason
from tests.drawings import write_folder


def refuse(path: Path, error: OSError) -> None:
    raise AssertionError(f"{path}: {error}")


def test_files_are_in_the_order_of_their_names(tmp_path: Path) -> None:
    write_folder(tmp_path, dict.fromkeys(("b.png", "a/c.JPG", "a-b.gif", "a.txt", ".d.png"), b""))
    assert [path.as_posix() for path in find(tmp_path, refuse)] == ["a-b.gif", "a/c.JPG", "b.png"]


def test_a_folder_that_can_not_be_read_is_reported(tmp_path: Path) -> None:
    reported = []
    assert find(tmp_path / "missing", lambda path, error: reported.append((path, reason(error)))) == []
    assert reported == [(tmp_path / "missing", "No such file or directory")]


def test_what_is_passed_over_is_told_most_first() -> None:
    passed_over = PassedOver()
    for name in ("b.txt", "a.Heic", "c.heic", "README", *(f"x.{letter}" for letter in "fghijkl")):
        passed_over.add(name)
    assert passed_over.told() == [
        "passed over, not called as images are: 11 files (2 .heic, 1 .f, 1 .g, 1 .h, 1 .i, 1 .j, 1 .k, 1 .l, …)"
    ]
    passed_over.clear()
    assert passed_over.told() == []
    passed_over.linked_folders = 2
    assert passed_over.told() == ["passed over, links to folders: 2"]
