"""The collections that one process keeps: each in a folder of its own, in the folder that the settings name."""

from __future__ import annotations

import shutil
from contextlib import suppress
from pathlib import Path
from threading import RLock
from time import time

from phototriage.collection_stores.folder_store import DATABASE, FolderStore
from phototriage.collection_stores.held_folder import hold, unavailable
from phototriage.collections.catalogue import Created, check_model, no_collection, too_many
from phototriage.collections.collection import Collection
from phototriage.collections.photos import check_name
from phototriage.collections.store import Description
from phototriage.common.errors import StoreUnavailable, UnknownCollection
from phototriage.index.folder import IndexedModel
from phototriage.models.embedder import Embedder

GONE = "~gone"  # suffix of a folder that is being deleted, which no name can have


class FolderCatalogue:
    """A `Catalogue`. One process at a time keeps a folder. A collection is opened when it is first asked for."""

    def __init__(self, folder: Path, most: int, patience: float = 0) -> None:
        """most: collections; patience: seconds to wait for a process that is about to end. Raises StoreUnavailable
        where the folder can't be written, or another process keeps it."""
        self.folder, self._most = folder, most
        self._lock = RLock()
        self._open: dict[str, Collection] = {}
        self._held = hold(folder, patience)
        for gone in folder.glob(f"*{GONE}"):  # by a process that was killed
            shutil.rmtree(gone, ignore_errors=True)

    def names(self) -> list[str]:
        """In order."""
        found = (path.parent.name for path in self.folder.glob(f"*/{DATABASE}"))
        return sorted(name for name in found if not name.endswith(GONE))

    def create(self, name: str, model: Embedder) -> Created:
        """A new collection of the embedder's photos, or the one that is there. Raises MalformedRequest for a name that
        can't be one, ForeignCollection where the one that is there is of another model, TooLarge, StoreUnavailable."""
        check_name(name)
        with self._lock:
            if name in self.names():
                found = self.get(name)
                check_model(found, model)
                return Created(found, False)
            if len(self.names()) >= self._most:
                raise too_many(self._most)
            description = Description(name=name, model=IndexedModel.of(model.manifest), created_at=time())
            self._open[name] = Collection(FolderStore(self.folder / name, description))
            return Created(self._open[name], True)

    def get(self, name: str) -> Collection:
        """Raises UnknownCollection, StoreUnavailable."""
        with self._lock:
            found = self._open.get(name)
            if found is None:
                if name not in self.names():
                    raise no_collection(name)
                found = self._open[name] = Collection(FolderStore(self.folder / name))
            return found

    def descriptions(self) -> list[Description]:
        """Of those that can be opened."""
        found = []
        for name in self.names():
            with suppress(StoreUnavailable, UnknownCollection):
                found.append(self.get(name).store.description)
        return found

    def delete(self, name: str) -> None:
        """With all its photos. Raises UnknownCollection, StoreUnavailable."""
        with self._lock:
            if name not in self.names():
                raise UnknownCollection(f"There is no collection {name[:80]!r}, so there is nothing to delete.")
            opened = self._open.pop(name, None)
            gone = self.folder / (name + GONE)
            try:
                if opened is not None:
                    opened.store.close(discard=True)
                (self.folder / name).rename(gone)
                shutil.rmtree(gone)
            except OSError as error:
                raise unavailable(self.folder, error) from error

    def close(self) -> None:
        with self._lock:
            try:
                for collection in self._open.values():
                    with suppress(OSError, StoreUnavailable):  # what wasn't closed is made anew at the next start
                        collection.store.close()
            finally:
                self._open.clear()
                self._held.close()
