"""Which of the stores keeps a server's collections: told by what the settings say of the place."""

from __future__ import annotations

from pathlib import Path

from phototriage.collection_stores.folder_catalogue import FolderCatalogue
from phototriage.collections.catalogue import Catalogue
from phototriage.settings import Settings


def open_catalogue(place: str | Path, settings: Settings, patience: float = 0) -> Catalogue:
    """place: a folder, or the address of a database; patience: seconds to wait for a process that is about to let go
    of the folder. Raises StoreUnavailable."""
    return FolderCatalogue(Path(place), settings.max_collections, patience)
