"""A collection in a PostgreSQL database that several servers share: rows, signatures and marks in tables, candidates by
pgvector's graphs (HNSW), and what is decided by exact similarities, as for a folder's collection.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from time import time
from typing import Any, LiteralString

import numpy as np
from numpy.typing import NDArray
from psycopg import sql

from phototriage.collection_stores.found_rows import FoundRows
from phototriage.collection_stores.postgres_database import Connection, PostgresDatabase
from phototriage.collection_stores.postgres_schema import Tables
from phototriage.collections.nominees import MOST_APART, one_of_each_group
from phototriage.collections.photos import KeptPhoto, NewPhoto, Vector
from phototriage.collections.store import Counts, Description, Found, Known, Page
from phototriage.common.errors import TooLarge, UnknownCollection
from phototriage.duplicates import layout
from phototriage.index.search import NeighbourRows, Queries, SearchCriteria, search
from phototriage.index.verified_rows import nominated

Floats = NDArray[np.float32]
Indices = NDArray[np.int64]

# Candidates of a search, and how many the graph keeps in view (hnsw.ef_search). By layout there is a search for each
# of the eight ways in which a picture may lie.
CONTENT_COUNT, CONTENT_VIEW = 64, 200
LAYOUT_COUNT, LAYOUT_VIEW = 16, 64

_CHANGES = "SELECT changes FROM phototriage.collections WHERE number = %s"
_CHANGE = "UPDATE phototriage.collections SET changes = changes + 1 WHERE number = %s"
_KEPT = "SELECT row, id, group_row, tags, added_at, signature, vector_send(embedding) FROM {photos} "
_MARKED = "SELECT high FROM {marks} WHERE low = %(id)s UNION SELECT low FROM {marks} WHERE high = %(id)s"
_CANDIDATES = """
SELECT p.row, p.id, p.group_row, vector_send(p.embedding) FROM {photos} p JOIN (
    SELECT DISTINCT near.row FROM unnest(%(parts)s::text[]::halfvec[]) AS asked CROSS JOIN LATERAL (
        SELECT row FROM {photos}{condition} ORDER BY ({part}) <#> asked LIMIT {count}
    ) near
) found USING (row)
"""
# Among photos with tags all are compared: a graph would name the nearest of all, few of which may have the tags.
_CANDIDATES_AMONG = """
WITH tagged AS MATERIALIZED (SELECT * FROM {photos} WHERE tags @> %(tags)s)
SELECT p.row, p.id, p.group_row, vector_send(p.embedding) FROM tagged p JOIN (
    SELECT DISTINCT near.row FROM unnest(%(parts)s::text[]::halfvec[]) AS asked CROSS JOIN LATERAL (
        SELECT row FROM tagged{condition} ORDER BY ({part}) <#> asked LIMIT {count}
    ) near
) found USING (row)
"""
_TAKE_ROW = """
UPDATE phototriage.collections SET changes = changes + 1, next_row = next_row + 1
WHERE number = %(number)s AND changes = %(changes)s
RETURNING next_row - 1, photos, (SELECT row FROM {photos} WHERE id = %(id)s)
"""
# In the order of the columns: row, id, group_row, tags, added_at, has_layout, embedding, signature.
_INSERT = "INSERT INTO {photos} VALUES (%s, %s, %s, %s, %s, %s, %s, %s)"
_LISTED = """
SELECT row, id FROM {photos} WHERE row > %(after)s AND tags @> %(tags)s
AND (%(group)s::bigint IS NULL OR group_row = %(group)s::bigint) ORDER BY row LIMIT %(most)s
"""
_GROUPS = """
SELECT group_row, count(*), ARRAY(
    SELECT id FROM {photos} member WHERE member.group_row = photos.group_row ORDER BY row LIMIT %s
) FROM {photos} photos WHERE group_row > %s GROUP BY group_row HAVING count(*) > 1 ORDER BY group_row LIMIT %s
"""
_COUNTS = """
SELECT (SELECT count(*) FROM {photos}),
    (SELECT count(*) FROM (SELECT 1 FROM {photos} GROUP BY group_row HAVING count(*) > 1) groups),
    (SELECT count(*) FROM {marks}), pg_total_relation_size(%s) + pg_total_relation_size(%s)
"""


class PostgresStore:
    """A `Store`. number: the database's for the collection, which is never given twice, so that a collection which was
    deleted, and made anew under its name, isn't taken for this one."""

    def __init__(self, database: PostgresDatabase, number: int, description: Description) -> None:
        self._database, self._number = database, number
        self.description = description
        self._tables = Tables(number, description.model.parts)

    def find(self, vector: Vector, count: int, own: str | None, tags: Sequence[str]) -> Found:
        with self._database.reading() as connection, connection.pipeline():
            changes = connection.execute(_CHANGES, (self._number,))
            marks = None if own is None else connection.execute(self._tables.statement(_MARKED), {"id": own})
            near = self._near(connection, vector, max(count, CONTENT_COUNT), tags)
            changed = changes.fetchone()
            marked = set() if marks is None else {other for (other,) in marks.fetchall()}
            found = {row: (Known(name, group), vector) for each in near for row, name, group, vector in each.fetchall()}
        if changed is None:
            raise UnknownCollection(f"The collection {self.description.name!r} was deleted meanwhile.")
        rows = np.array(sorted(row for row, (known, _) in found.items() if known.id != own), np.int64)
        if not len(rows):
            return Found(changed[0], NeighbourRows(rows, np.empty(0)), rows)
        vectors = vectors_of([found[row][1] for row in rows.tolist()])
        known = {place: found[row][0] for place, row in enumerate(rows.tolist())}
        model, some = self.description.model, FoundRows(vectors)
        queries = Queries(vector[np.newaxis], np.array([len(rows)]), np.array([-1]))
        (nearest,) = search(some, queries, SearchCriteria(max(count, MOST_APART)), model.layout_rescoring)
        apart = one_of_each_group(nearest.best(MOST_APART), known, marked)
        (nominees,) = nominated(some, queries, [apart], model.threshold, model.layout_rescoring is not None, None)
        return Found(changed[0], NeighbourRows(rows[nearest.rows], nearest.similarity), rows[nominees])

    def _near(self, connection: Connection, vector: Vector, count: int, tags: Sequence[str]) -> list[Any]:
        """Cursors of candidates, by each part of the embedding."""
        text: LiteralString = _CANDIDATES_AMONG if tags else _CANDIDATES
        cut = self.description.model.parts[0]
        asked = [(vector[np.newaxis, :cut], count, max(CONTENT_VIEW, count), "")]
        layouts = vector[np.newaxis, cut:]
        if layouts.any():
            asked.append((layout.symmetries(layouts)[:, 0], LAYOUT_COUNT, LAYOUT_VIEW, " WHERE has_layout"))
        cursors = []
        for place, (parts, wanted, view, condition) in enumerate(asked):
            connection.execute(sql.SQL("SET LOCAL hnsw.ef_search = {}").format(view))
            query = self._tables.statement(
                text, part=self._tables.part(place), count=wanted, condition=sql.SQL(condition)
            )
            values = {"parts": [text_of(part) for part in parts], "tags": list(tags)}
            cursors.append(connection.execute(query, values, binary=True))
        return cursors

    def photos(self, rows: Sequence[int]) -> list[KeptPhoto]:
        return self._kept("WHERE row = ANY(%s)", (list(rows),)) if rows else []

    def photo(self, name: str) -> KeptPhoto | None:
        return next(iter(self._kept("WHERE id = %s", (name,))), None)

    def photos_after(self, row: int, most: int) -> list[KeptPhoto]:
        return self._kept("WHERE row > %s ORDER BY row LIMIT %s", (row, most))

    def _kept(self, condition: LiteralString, values: Sequence[Any]) -> list[KeptPhoto]:
        return [
            KeptPhoto(
                id=name,
                vector=vectors_of([vector])[0],
                signature=signature,
                tags=tuple(tags),
                row=row,
                group=group,
                added_at=added_at,
            )
            for row, name, group, tags, added_at, signature, vector in self._rows(_KEPT + condition, values)
        ]

    def insert(self, photo: NewPhoto, group: int | None, changes: int, most: int) -> KeptPhoto | None:
        with self._database.writing() as connection:
            values = {"number": self._number, "changes": changes, "id": photo.id}
            taken = connection.execute(self._tables.statement(_TAKE_ROW), values).fetchone()
            if taken is None:
                return None
            row, photos, replaced = taken
            if replaced is None and photos >= most:
                raise TooLarge(
                    f"The collection {self.description.name!r} has {photos} photos, and the limit is {most}. Delete "
                    "some, or have PHOTOTRIAGE_MAX_COLLECTION_PHOTOS raised."
                )
            kept = KeptPhoto(**vars(photo), row=row, group=row if group is None else group, added_at=time())
            with connection.pipeline():
                if replaced is None:
                    self._count(connection, 1)
                else:
                    connection.execute(self._tables.statement("DELETE FROM {photos} WHERE row = %s"), (replaced,))
                connection.execute(self._tables.statement(_INSERT), self._values(kept))
        return kept

    def _values(self, photo: KeptPhoto) -> tuple[Any, ...]:
        has_layout = bool(photo.vector[self.description.model.parts[0] :].any())
        kept = (photo.row, photo.id, photo.group, list(photo.tags), photo.added_at, has_layout)
        return (*kept, text_of(photo.vector), photo.signature)

    def _count(self, connection: Connection, more: int) -> None:
        query = "UPDATE phototriage.collections SET photos = photos + %s WHERE number = %s"
        connection.execute(query, (more, self._number))

    def load(self, photos: Sequence[tuple[KeptPhoto, str | None]], groups: dict[str, int]) -> None:
        last = {photo.id: (photo, group) for photo, group in photos}
        query = "UPDATE phototriage.collections SET changes = changes + 1, next_row = next_row + %s WHERE number = %s"
        with self._database.writing() as connection:
            taken = connection.execute(f"{query} RETURNING next_row", (len(last), self._number)).fetchone()
            if taken is None:
                raise UnknownCollection(f"The collection {self.description.name!r} was deleted meanwhile.")
            removal = self._tables.statement("DELETE FROM {photos} WHERE id = ANY(%s)")
            self._count(connection, len(last) - connection.execute(removal, (list(last),)).rowcount)
            copying = self._tables.statement("COPY {photos} FROM STDIN")
            with connection.cursor() as cursor, cursor.copy(copying) as copy:
                for row, (photo, group) in enumerate(last.values(), taken[0] - len(last)):
                    founder = row if group is None else groups.setdefault(group, row)
                    copy.write_row(self._values(replace(photo, row=row, group=founder)))

    @contextmanager
    def loading(self) -> Iterator[None]:
        with self._database.writing() as connection:
            changed = connection.execute(
                "SELECT photos FROM phototriage.collections WHERE number = %s FOR UPDATE", (self._number,)
            ).fetchone()
            if changed == (0,):
                for statement in self._tables.without_graphs:
                    connection.execute(statement)
        try:
            yield
        finally:
            with self._database.writing() as connection:
                connection.execute("SET LOCAL statement_timeout = 0")
                usual, connection.patience = connection.patience, None
                for statement in self._tables.graphs:
                    connection.execute(statement)
                connection.patience = usual

    def set_tags(self, row: int, tags: Sequence[str]) -> None:
        with self._database.writing() as connection:
            connection.execute(
                self._tables.statement("UPDATE {photos} SET tags = %s WHERE row = %s"), (list(tags), row)
            )

    def delete(self, name: str) -> bool:
        with self._database.writing() as connection:
            connection.execute(_CHANGE, (self._number,))
            gone = connection.execute(self._tables.statement("DELETE FROM {photos} WHERE id = %s"), (name,)).rowcount
            if gone:
                self._count(connection, -gone)
                forgotten = self._tables.statement("DELETE FROM {marks} WHERE low = %(id)s OR high = %(id)s")
                connection.execute(forgotten, {"id": name})
        return bool(gone)

    def members(self, group: int, most: int) -> list[int]:
        query: LiteralString = "SELECT row FROM {photos} WHERE group_row = %s ORDER BY row LIMIT %s"
        return [row for (row,) in self._rows(query, (group, most))]

    def any_in_group(self, group: int, names: Collection[str]) -> bool:
        query: LiteralString = "SELECT 1 FROM {photos} WHERE group_row = %s AND id = ANY(%s) LIMIT 1"
        return bool(self._rows(query, (group, list(names))))

    def mark(self, a: str, b: str) -> bool:
        low, high = sorted((a, b))
        with self._database.writing() as connection:
            connection.execute(_CHANGE, (self._number,))
            query: LiteralString = "INSERT INTO {marks} (low, high) VALUES (%s, %s) ON CONFLICT DO NOTHING"
            is_new = connection.execute(self._tables.statement(query), (low, high)).rowcount
            query = "SELECT row, group_row FROM {photos} WHERE id IN (%s, %s) ORDER BY row"
            found = connection.execute(self._tables.statement(query), (low, high)).fetchall()
            if len(found) == 2 and found[0][1] == found[1][1]:
                # The later one, but for the photo that the group is called after.
                leaves = found[1][0] if found[1][0] != found[1][1] else found[0][0]
                leaving = self._tables.statement("UPDATE {photos} SET group_row = row WHERE row = %s")
                connection.execute(leaving, (leaves,))
        return bool(is_new)

    def unmark(self, a: str, b: str) -> bool:
        with self._database.writing() as connection:
            connection.execute(_CHANGE, (self._number,))
            query = self._tables.statement("DELETE FROM {marks} WHERE low = %s AND high = %s")
            return bool(connection.execute(query, tuple(sorted((a, b)))).rowcount)

    def marked(self, name: str) -> set[str]:
        return {other for (other,) in self._rows(_MARKED, {"id": name})}

    def list_photos(self, after: int, most: int, tags: Sequence[str], group: int | None = None) -> Page:
        values = {"after": after, "tags": list(tags), "group": group, "most": most + 1}
        return _page(self._rows(_LISTED, values), most)

    def list_groups(self, after: int, most: int, most_ids: int) -> Page:
        found = self._rows(_GROUPS, (most_ids, after, most + 1))
        return _page([(group, str(group), str(photos), *ids) for group, photos, ids in found], most)

    def list_marked(self, after: int, most: int) -> Page:
        query: LiteralString = "SELECT number, low, high FROM {marks} WHERE number > %s ORDER BY number LIMIT %s"
        return _page(self._rows(query, (after, most + 1)), most)

    def counts(self) -> Counts:
        names = [name.as_string() for name in self._tables.names.values()]
        ((photos, groups, marked, size),) = self._rows(_COUNTS, names)
        return Counts(photos, groups, marked, bytes=size)

    def close(self, discard: bool = False) -> None:
        """The database goes on."""

    def _rows(self, query: LiteralString, values: Sequence[Any] | dict[str, Any] = ()) -> list[tuple[Any, ...]]:
        with self._database.connection() as connection:
            return connection.execute(self._tables.statement(query), values, binary=True).fetchall()


def text_of(vector: Floats) -> str:
    """As pgvector reads it: each number by the fewest digits that give it back exactly."""
    return f"[{','.join(map(str, vector.astype(np.float32)))}]"


def vectors_of(sent: Sequence[bytes]) -> Floats:
    """Of vectors as pgvector sends them, behind 4 bytes that say how long they are: (n, D)."""
    joined = np.frombuffer(b"".join(vector[4:] for vector in sent), ">f4")
    return joined.astype(np.float32).reshape(len(sent), -1)


def _page(rows: list[tuple[Any, ...]], most: int) -> Page:
    """Of rows, each with its place first, at most `most`; one more says that there is a next page."""
    shown = rows[:most]
    return Page([tuple(row[1:]) for row in shown], shown[-1][0] if len(rows) > most else None)
