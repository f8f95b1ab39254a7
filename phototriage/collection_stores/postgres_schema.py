"""The tables of collections in PostgreSQL, and the steps by which an older database becomes a newer one.

Each collection has tables of its own, since vectors of one table are of one length, a graph is one of all rows of a
table, and a collection that is deleted is to leave nothing.
"""

from __future__ import annotations

from typing import LiteralString

from psycopg import sql

SCHEMA = "phototriage"
LEAST_PGVECTOR = (0, 7)  # it has half-precision vectors, and parts of a vector
MOST_COLUMNS = 4000  # of a graph of half-precision vectors

# Step n makes version n of version n − 1. A step that was released is never changed: a further one is added.
STEPS: tuple[str, ...] = (
    """
    CREATE TABLE phototriage.collections (
        number bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        name text NOT NULL UNIQUE,
        description text NOT NULL,
        changes bigint NOT NULL DEFAULT 0,
        next_row bigint NOT NULL DEFAULT 0,
        photos bigint NOT NULL DEFAULT 0
    )
    """,
)

_TABLES = """
CREATE TABLE {photos} (
    row bigint PRIMARY KEY,
    id text COLLATE "C" NOT NULL UNIQUE,
    group_row bigint NOT NULL,
    tags text[] NOT NULL,
    added_at double precision NOT NULL,
    has_layout boolean NOT NULL,
    embedding vector({dimension}) NOT NULL,
    signature bytea
);
ALTER TABLE {photos} ALTER COLUMN embedding SET STORAGE PLAIN, ALTER COLUMN signature SET STORAGE EXTERNAL;
ALTER TABLE {photos} SET (autovacuum_vacuum_scale_factor = 0.02, toast.autovacuum_vacuum_scale_factor = 0.02);
CREATE INDEX {groups} ON {photos} (group_row, row);
CREATE INDEX {tagged} ON {photos} USING gin (tags);
CREATE TABLE {marks} (
    number bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    low text COLLATE "C" NOT NULL,
    high text COLLATE "C" NOT NULL,
    UNIQUE (low, high)
);
CREATE INDEX ON {marks} (high)
"""
# As the graphs of `index.graph.parts_of`.
_CONTENT_GRAPH = """
CREATE INDEX IF NOT EXISTS {content} ON {photos} USING hnsw (({part}) halfvec_ip_ops)
WITH (m = 16, ef_construction = 128)
"""
# A plain surface has no layout, and no neighbours by it.
_LAYOUT_GRAPH = """
CREATE INDEX IF NOT EXISTS {layout} ON {photos} USING hnsw (({part}) halfvec_ip_ops)
WITH (m = 16, ef_construction = 64)
WHERE has_layout
"""


class Tables:
    """The names of one collection's tables and indexes, and the statements that make and remove them.

    parts: columns of each part of an embedding, at most two.
    """

    def __init__(self, number: int, parts: tuple[int, ...]) -> None:
        self._parts = parts
        self.names: dict[str, sql.Composable] = {
            kind: sql.Identifier(SCHEMA, f"{kind}_{number}") for kind in ("photos", "marks")
        }
        # Names of indexes are in the schema of their table.
        self._indexes = {kind: f"photos_{number}_{kind}" for kind in ("groups", "tagged", "content", "layout")}

    def part(self, place: int) -> sql.Composed:
        """The columns of a part, as the graph has them."""
        first, size = 1 + sum(self._parts[:place]), self._parts[place]
        return sql.SQL("subvector(embedding, {}, {})::halfvec({})").format(first, size, size)

    def statement(self, text: LiteralString, **more: sql.Composable | int) -> sql.Composed:
        """With {photos} and {marks} named, and what is given beside them."""
        return sql.SQL(text).format(**self.names, **more)

    @property
    def making(self) -> list[sql.Composed]:
        """Statements that make the tables, without graphs."""
        names = {**self.names, **{kind: sql.Identifier(name) for kind, name in self._indexes.items()}}
        return [sql.SQL(_TABLES).format(**names, dimension=sum(self._parts))]

    @property
    def graphs(self) -> list[sql.Composed]:
        """Statements that make the graphs."""
        texts = (_CONTENT_GRAPH, _LAYOUT_GRAPH)[: len(self._parts)]
        names = [sql.Identifier(self._indexes[kind]) for kind in ("content", "layout")]
        return [
            sql.SQL(text).format(**self.names, content=name, layout=name, part=self.part(place))
            for place, (text, name) in enumerate(zip(texts, names, strict=False))
        ]

    @property
    def without_graphs(self) -> list[sql.Composed]:
        """Statements that remove the graphs."""
        return [
            sql.SQL("DROP INDEX IF EXISTS {}").format(sql.Identifier(SCHEMA, self._indexes[kind]))
            for kind in ("content", "layout")
        ]

    @property
    def removal(self) -> sql.Composed:
        return self.statement("DROP TABLE IF EXISTS {photos}, {marks}")
