"""Names of one file: symbolic links, and hard links."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path


def other_names(folder: Path, paths: Sequence[Path]) -> dict[Path, Path]:
    """Those of `paths`, which start at `folder`, that are another name of a file that has a name among them already,
    with that name: one that is no symbolic link where there is one, and of these the first in the order of `paths`.

    A symbolic link to a file that has no other name among `paths` is an image as any.
    """
    files: dict[Path, tuple[int, int]] = {}
    first: dict[tuple[int, int], Path] = {}
    linked: dict[tuple[int, int], Path] = {}
    for path in paths:
        try:
            is_link = (folder / path).is_symlink()
            status = (folder / path).stat()
        except OSError:  # reading it will fail, and that is told
            continue
        files[path] = status.st_dev, status.st_ino
        (linked if is_link else first).setdefault(files[path], path)
    names = linked | first
    return {path: names[file] for path, file in files.items() if names[file] != path}
