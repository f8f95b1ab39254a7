"""Which of the stores keeps a server's collections: told by what the settings say of the place."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

from phototriage.collection_stores.folder_catalogue import FolderCatalogue
from phototriage.collections.catalogue import Catalogue
from phototriage.common.errors import StoreUnavailable
from phototriage.settings import Settings, is_address


def open_catalogue(place: str | Path, settings: Settings, patience: float = 0) -> Catalogue:
    """place: a folder, or the address of a database; patience: seconds to wait for a process that is about to let go
    of the folder. Raises StoreUnavailable."""
    if not is_address(str(place)):
        return FolderCatalogue(Path(place), settings.max_collections, patience)
    if find_spec("psycopg") is None or find_spec("psycopg_pool") is None:
        raise StoreUnavailable(
            "Collections in PostgreSQL need psycopg. Install it: pip install 'phototriage[postgres]'"
        )
    from phototriage.collection_stores.postgres_catalogue import PostgresCatalogue
    from phototriage.collection_stores.postgres_database import PostgresDatabase

    # A request waits for no other one's connection: each has a thread, and a few ask aside of these.
    database = PostgresDatabase(str(place), settings.threads + 2, settings.deadline_seconds)
    return PostgresCatalogue(database, settings.max_collections)
