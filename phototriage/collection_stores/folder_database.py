"""The database of a collection that one process keeps in a folder: SQLite, which is Python's own.

What was committed is there after the process was killed, and after a power cut. What was deleted is overwritten.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Collection, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from threading import RLock
from time import time
from typing import Any

import numpy as np
from numpy.typing import NDArray

from phototriage.collections.photos import KeptPhoto, NewPhoto
from phototriage.collections.store import Description, Known, Page
from phototriage.common.atomic_writes import PART
from phototriage.common.errors import StoreUnavailable

Indices = NDArray[np.int64]

FORMAT = 1
# To wait for another process that reads the file, such as a backup: in any case, and for the log to be emptied.
BUSY_MILLISECONDS, LOG_MILLISECONDS = 5000, 100
_PAGE = 8192  # bytes: a photo's vector and signature fit into one
_PHOTOS = "SELECT row, id, group_row, tags, added_at, vector, signature FROM photos JOIN contents USING (row) WHERE "
_KNOWN = "SELECT row, id, group_row FROM photos WHERE"
_GROUPS = """
SELECT group_row, count(*) FROM photos WHERE group_row > ? GROUP BY group_row HAVING count(*) > 1
ORDER BY group_row LIMIT ?
"""
_OF_GROUP = "SELECT id FROM photos WHERE group_row = ? ORDER BY row LIMIT ?"
_COUNTS = """
SELECT (SELECT count(*) FROM photos),
    (SELECT count(*) FROM (SELECT 1 FROM photos GROUP BY group_row HAVING count(*) > 1)),
    (SELECT count(*) FROM not_duplicates)
"""
_SCHEMA = """
CREATE TABLE facts (name TEXT PRIMARY KEY, value) WITHOUT ROWID;
CREATE TABLE photos (
    row INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE, group_row INTEGER NOT NULL, tags TEXT NOT NULL,
    added_at REAL NOT NULL
);
CREATE INDEX photos_of_groups ON photos (group_row, row);
CREATE TABLE contents (row INTEGER PRIMARY KEY, vector BLOB NOT NULL, signature BLOB);
CREATE TABLE tags (tag TEXT NOT NULL, row INTEGER NOT NULL, PRIMARY KEY (tag, row)) WITHOUT ROWID;
CREATE TABLE not_duplicates (number INTEGER PRIMARY KEY, low TEXT NOT NULL, high TEXT NOT NULL, UNIQUE (low, high));
CREATE INDEX not_duplicates_high ON not_duplicates (high);
"""


class Database:
    """Threads share two connections, one that writes and one that reads what was committed. Methods raise
    StoreUnavailable where the disk is full or the file is damaged."""

    def __init__(self, path: Path, description: Description | None = None) -> None:
        """`description`: of a new collection; without it, `path` is there already."""
        self.path = path
        if not path.exists() and description is None:
            raise StoreUnavailable(f"The collection in {path.parent.name!r} has no database. Restore it from a backup.")
        self._writes, self._reads, self._log_is_full = RLock(), RLock(), False
        with _told(path):
            if description is not None and not path.exists():
                self._create(description)
            self._writer, self._reader = self._connect(path), self._connect(path)
            self._reader.execute("PRAGMA query_only = ON")
            found = self._fact("format")
            if found != FORMAT:
                raise StoreUnavailable(
                    f"The collection in {path.parent.name!r} is of format {found}, and {FORMAT} is read. Take the "
                    "version of phototriage that wrote it."
                )
            self.description = Description.model_validate_json(self._fact("description"))

    def _connect(self, path: Path) -> sqlite3.Connection:
        # Threads are kept apart here; SQLite is built to bear it.
        connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=5)
        for setting in (f"page_size = {_PAGE}", "journal_mode = WAL", "synchronous = FULL", "secure_delete = ON"):
            connection.execute(f"PRAGMA {setting}").fetchall()
        return connection

    def _create(self, description: Description) -> None:
        """Whole, or not at all."""
        facts = {"format": FORMAT, "description": description.model_dump_json(), "stamp": ""}
        part = self.path.with_name(self.path.name + PART)
        part.unlink(missing_ok=True)
        connection = self._connect(part)
        try:
            connection.executescript(f"BEGIN; {_SCHEMA}")
            connection.executemany("INSERT INTO facts VALUES (?, ?)", facts.items())
            connection.execute("COMMIT")
        finally:
            connection.close()  # which brings the log into the file
        part.rename(self.path)

    def close(self) -> None:
        with self._writes, self._reads:
            self._reader.close()
            self._writer.close()

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        with self._writes, _told(self.path):
            self._writer.execute("BEGIN IMMEDIATE")
            try:
                yield self._writer
                self._writer.execute("COMMIT")
            except BaseException:
                if self._writer.in_transaction:
                    self._writer.execute("ROLLBACK")
                raise

    def _rows(self, query: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        with self._reads, _told(self.path):
            return self._reader.execute(query, values).fetchall()

    def _fact(self, name: str) -> Any:
        (value,) = self._writer.execute("SELECT value FROM facts WHERE name = ?", (name,)).fetchone()
        return value

    @property
    def stamp(self) -> str:
        """Of the vectors' file, when it was closed after the last change; empty since it was opened."""
        return str(self._rows("SELECT value FROM facts WHERE name = 'stamp'")[0][0])

    def set_stamp(self, stamp: str) -> None:
        with self._transaction() as writer:
            writer.execute("UPDATE facts SET value = ? WHERE name = 'stamp'", (stamp,))

    def living(self) -> Indices:
        """The numbers of all rows, ascending."""
        return np.array([row for (row,) in self._rows("SELECT row FROM photos ORDER BY row")], np.int64)

    def vectors(self) -> Iterator[tuple[int, bytes]]:
        """All rows, ascending, with their vectors. To be read to its end before anything else is done."""
        with self._reads, _told(self.path):
            yield from self._reader.execute("SELECT row, vector FROM contents ORDER BY row")

    def rows_with(self, tags: Sequence[str]) -> Indices:
        """The rows of the photos that have all tags, ascending."""
        queries = " INTERSECT ".join(["SELECT row FROM tags WHERE tag = ?"] * len(tags))
        return np.array([row for (row,) in self._rows(f"{queries} ORDER BY row", tags)], np.int64)

    def photos(self, where: str, values: Sequence[Any], most: int = -1) -> list[KeptPhoto]:
        """Those of which a condition is true, by row; `most` of them, unless that is −1."""
        return [
            KeptPhoto(
                id=name,
                vector=np.frombuffer(vector, "<f4").astype(np.float32),
                signature=signature,
                tags=tuple(json.loads(tags)),
                row=row,
                group=group,
                added_at=added_at,
            )
            for row, name, group, tags, added_at, vector, signature in self._rows(
                f"{_PHOTOS}{where} ORDER BY row LIMIT ?", [*values, most]
            )
        ]

    def row_of(self, name: str) -> int | None:
        """The row of the photo of that id."""
        found = self._rows("SELECT row FROM photos WHERE id = ?", (name,))
        return int(found[0][0]) if found else None

    @property
    def last_row(self) -> int:
        """The highest number that a row ever had; −1 where there was none."""
        found = self._rows("SELECT seq FROM sqlite_sequence WHERE name = 'photos'")
        return int(found[0][0]) if found else -1

    def insert(self, photo: NewPhoto, row: int, group: int) -> KeptPhoto:
        """Add a photo as a row of that number; one that has its id is replaced."""
        kept = KeptPhoto(**vars(photo), row=row, group=group, added_at=time())
        with self._transaction() as writer:
            _insert(writer, kept)
        return kept

    def load(self, photos: Sequence[KeptPhoto]) -> None:
        """Add many in one transaction, as they are. Those that have their ids are replaced."""
        with self._transaction() as writer:
            for photo in photos:
                _insert(writer, photo)

    def set_tags(self, row: int, tags: Sequence[str]) -> None:
        with self._transaction() as writer:
            if writer.execute("SELECT 1 FROM photos WHERE row = ?", (row,)).fetchone() is not None:
                writer.execute("DELETE FROM tags WHERE row = ?", (row,))
                _write_tags(writer, row, tags)

    def known(self, rows: Sequence[int]) -> dict[int, Known]:
        """By row, those of these that are there."""
        query = " ".join([_KNOWN, "row IN (", ", ".join("?" * len(rows)), ")"])
        return {int(row): Known(name, group) for row, name, group in self._rows(query, rows)}

    def any_in_group(self, group: int, names: Collection[str]) -> bool:
        query = " ".join([_KNOWN, "group_row = ? AND id IN (", ", ".join("?" * len(names)), ") LIMIT 1"])
        return bool(self._rows(query, (group, *names)))

    def delete(self, name: str) -> None:
        """With all that was remembered of its id."""
        with self._transaction() as writer:
            for (row,) in writer.execute("SELECT row FROM photos WHERE id = ?", (name,)).fetchall():
                _remove_row(writer, row)
            writer.execute("DELETE FROM not_duplicates WHERE low = ? OR high = ?", (name, name))

    def forget_log(self, deleted: bool = True) -> None:
        """Bring the log of changes into the database, and empty it, where something was `deleted`, now or before: it
        has what was there until then. While another process reads it can't be emptied; the next call tries again."""
        self._log_is_full = self._log_is_full or deleted
        if self._log_is_full:
            with self._writes, _told(self.path):
                self._writer.execute(f"PRAGMA busy_timeout = {LOG_MILLISECONDS}")
                ((busy, *_),) = self._writer.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
                self._writer.execute(f"PRAGMA busy_timeout = {BUSY_MILLISECONDS}")
            self._log_is_full = bool(busy)

    def members(self, group: int, most: int) -> list[int]:
        query = "SELECT row FROM photos WHERE group_row = ? ORDER BY row LIMIT ?"
        return [row for (row,) in self._rows(query, (group, most))]

    def mark(self, a: str, b: str) -> bool:
        with self._transaction() as writer:
            pair = tuple(sorted((a, b)))
            new = writer.execute("INSERT OR IGNORE INTO not_duplicates (low, high) VALUES (?, ?)", pair).rowcount
            query = "SELECT row, group_row FROM photos WHERE id IN (?, ?) ORDER BY row"
            found = writer.execute(query, pair).fetchall()
            if len(found) == 2 and found[0][1] == found[1][1]:
                # The later one, but for the photo that the group is called after.
                leaves = found[1][0] if found[1][0] != found[1][1] else found[0][0]
                writer.execute("UPDATE photos SET group_row = row WHERE row = ?", (leaves,))
        return bool(new)

    def unmark(self, a: str, b: str) -> bool:
        with self._transaction() as writer:
            pair = tuple(sorted((a, b)))
            gone = writer.execute("DELETE FROM not_duplicates WHERE low = ? AND high = ?", pair).rowcount
        return bool(gone)

    def marked(self, name: str) -> set[str]:
        query = "SELECT high FROM not_duplicates WHERE low = ? UNION SELECT low FROM not_duplicates WHERE high = ?"
        return {other for (other,) in self._rows(query, (name, name))}

    def list_photos(self, after: int, most: int, tags: Sequence[str], group: int | None) -> Page:
        of_group = () if group is None else (group,)
        in_group = " AND group_row = ?" * len(of_group)
        has_tags = " AND row IN (SELECT row FROM tags WHERE tag = ?)" * len(tags)
        query = " ".join(["SELECT row, id FROM photos WHERE row > ?", in_group, has_tags, "ORDER BY row LIMIT ?"])
        return _page(self._rows(query, (after, *of_group, *tags, most + 1)), most)

    def list_groups(self, after: int, most: int, most_ids: int) -> Page:
        groups = []
        with self._reads, _told(self.path):
            self._reader.execute("BEGIN")  # one state for all queries
            try:
                for group, photos in self._rows(_GROUPS, (after, most + 1)):
                    ids = [name for (name,) in self._rows(_OF_GROUP, (group, most_ids))]
                    groups.append((group, str(group), str(photos), *ids))
            finally:
                self._reader.execute("ROLLBACK")
        return _page(groups, most)

    def list_marked(self, after: int, most: int) -> Page:
        query = "SELECT number, low, high FROM not_duplicates WHERE number > ? ORDER BY number LIMIT ?"
        return _page(self._rows(query, (after, most + 1)), most)

    def counts(self) -> tuple[int, int, int]:
        """How many photos, groups of two or more, and marked pairs there are."""
        # By a connection of its own: of a million photos it takes .1 s, for which no request is to wait.
        address = f"{self.path.absolute().as_uri()}?mode=ro"
        with _told(self.path), closing(sqlite3.connect(address, uri=True, timeout=5)) as own:
            ((photos, groups, marked),) = own.execute(_COUNTS).fetchall()
        return photos, groups, marked


def _insert(writer: sqlite3.Connection, photo: KeptPhoto) -> None:
    for (old,) in writer.execute("SELECT row FROM photos WHERE id = ?", (photo.id,)).fetchall():
        _remove_row(writer, old)
    values = (photo.row, photo.id, photo.group, "", photo.added_at)
    writer.execute("INSERT INTO photos (row, id, group_row, tags, added_at) VALUES (?, ?, ?, ?, ?)", values)
    contents = (photo.row, photo.vector.astype("<f4").tobytes(), photo.signature)
    writer.execute("INSERT INTO contents VALUES (?, ?, ?)", contents)
    _write_tags(writer, photo.row, photo.tags)


def _remove_row(writer: sqlite3.Connection, row: int) -> None:
    for query in (
        "DELETE FROM photos WHERE row = ?",
        "DELETE FROM contents WHERE row = ?",
        "DELETE FROM tags WHERE row = ?",
    ):
        writer.execute(query, (row,))


def _write_tags(writer: sqlite3.Connection, row: int, tags: Sequence[str]) -> None:
    writer.execute("UPDATE photos SET tags = ? WHERE row = ?", (json.dumps(list(tags)), row))
    writer.executemany("INSERT INTO tags VALUES (?, ?)", [(tag, row) for tag in tags])


def _page(rows: list[tuple[Any, ...]], most: int) -> Page:
    """Of rows, each with its place first, at most `most`; one more says that there is a next page."""
    shown = rows[:most]
    return Page([tuple(row[1:]) for row in shown], shown[-1][0] if len(rows) > most else None)


@contextmanager
def _told(path: Path) -> Iterator[None]:
    """What SQLite can't do, as an error of ours."""
    try:
        yield
    except sqlite3.Error as error:
        raise StoreUnavailable(
            f"The collection {path.parent.name!r} can't be kept or read now ({error}). See to the disk, or try again "
            "later."
        ) from error
