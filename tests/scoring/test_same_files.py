from __future__ import annotations

from pathlib import Path

from phototriage.scoring.same_files import other_names


def test_links_are_other_names_of_the_file_that_they_lead_to(tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    for name in ("photos/b.png", "photos/c.png", "outside.png"):
        (tmp_path / name).write_bytes(b"the same bytes")
    folder = tmp_path / "photos"
    (folder / "a.png").symlink_to("b.png")
    (folder / "d.png").hardlink_to(folder / "b.png")
    (folder / "e.png").symlink_to("a.png")
    (folder / "f.png").symlink_to(tmp_path / "outside.png")
    (folder / "g.png").symlink_to(tmp_path / "outside.png")
    (folder / "h.png").symlink_to("nowhere.png")
    paths = [Path(f"{name}.png") for name in "abcdefghi"]
    b, f = Path("b.png"), Path("f.png")
    assert other_names(folder, paths) == {Path("a.png"): b, Path("d.png"): b, Path("e.png"): b, Path("g.png"): f}
