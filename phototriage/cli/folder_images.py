"""The images below a folder that a command is asked about, and what it says of the rest."""

from __future__ import annotations

from pathlib import Path

from phototriage.cli.exit_status import tell
from phototriage.common.tables import TableError
from phototriage.images.pixels import IMAGE_SUFFIXES
from phototriage.scoring.folder_walk import PassedOver, find
from phototriage.scoring.image_files import reason


def images_below(folder: Path) -> tuple[list[Path], dict[Path, str]]:
    """Image files below `folder`, as paths that start there, and the folders that can't be read, with the reason.

    Tells on stderr how many files are passed over. Raises TableError where there are no images.
    """
    if not folder.is_dir():
        raise TableError(f"{folder} is no folder. Name the one that holds the images.")
    unread: dict[Path, str] = {}
    passed_over = PassedOver()
    paths = find(folder, lambda path, error: unread.update({path: reason(error)}), passed_over)
    for line in passed_over.told():
        tell(line)
    if not paths:
        tell_unread(unread)
        raise TableError(f"{folder} holds no images: no file ends in {', '.join(sorted(IMAGE_SUFFIXES))}.")
    return paths, unread


def tell_unread(unread: dict[Path, str]) -> None:
    """A line on stderr for each file or folder that can't be read, with the reason."""
    for path, why in unread.items():
        tell(f"{path}: {why}")
