"""The collections of a PostgreSQL database, which any number of servers may share."""

from __future__ import annotations

from time import time

from phototriage.collection_stores.postgres_database import PostgresDatabase, lock_all
from phototriage.collection_stores.postgres_schema import MOST_COLUMNS, Tables
from phototriage.collection_stores.postgres_store import PostgresStore
from phototriage.collections.catalogue import Created, check_model, no_collection, too_many
from phototriage.collections.collection import Collection
from phototriage.collections.photos import check_name
from phototriage.collections.store import Description
from phototriage.common.errors import TooLarge, UnknownCollection
from phototriage.index.folder import IndexedModel
from phototriage.models.embedder import Embedder


class PostgresCatalogue:
    """A `Catalogue`. Nothing of it is kept in this process, since other servers make and delete collections, too."""

    def __init__(self, database: PostgresDatabase, most: int) -> None:
        """most: collections."""
        self._database, self._most = database, most

    def names(self) -> list[str]:
        with self._database.connection() as connection:
            found = connection.execute('SELECT name FROM phototriage.collections ORDER BY name COLLATE "C"')
            return [name for (name,) in found.fetchall()]

    def create(self, name: str, model: Embedder) -> Created:
        check_name(name)
        indexed = IndexedModel.of(model.manifest)
        if max(indexed.parts) > MOST_COLUMNS:
            raise TooLarge(
                f"{indexed.name!r} has embeddings of {max(indexed.parts)} columns, and a collection in PostgreSQL "
                f"bears {MOST_COLUMNS}. Keep it in a folder, or train an embedder of fewer."
            )
        description = Description(name=name, model=indexed, created_at=time())
        with self._database.writing() as connection:
            lock_all(connection)
            found = connection.execute("SELECT name FROM phototriage.collections").fetchall()
            is_new = (name,) not in found
            if is_new:
                if len(found) >= self._most:
                    raise too_many(self._most)
                query = "INSERT INTO phototriage.collections (name, description) VALUES (%s, %s) RETURNING number"
                ((number,),) = connection.execute(query, (name, description.model_dump_json())).fetchall()
                tables = Tables(number, indexed.parts)
                for statement in (*tables.making, *tables.graphs):
                    connection.execute(statement)
        collection = self.get(name)
        if not is_new:
            check_model(collection, model)
        return Created(collection, is_new)

    def get(self, name: str) -> Collection:
        with self._database.connection() as connection:
            query = "SELECT number, description FROM phototriage.collections WHERE name = %s"
            found = connection.execute(query, (name,)).fetchone()
        if found is None:
            raise no_collection(name)
        number, description = found
        return Collection(PostgresStore(self._database, number, Description.model_validate_json(description)))

    def descriptions(self) -> list[Description]:
        with self._database.connection() as connection:
            found = connection.execute("SELECT description FROM phototriage.collections").fetchall()
        return [Description.model_validate_json(description) for (description,) in found]

    def delete(self, name: str) -> None:
        with self._database.writing() as connection:
            lock_all(connection)
            query = "DELETE FROM phototriage.collections WHERE name = %s RETURNING number, description"
            found = connection.execute(query, (name,)).fetchone()
            if found is None:
                raise UnknownCollection(f"There is no collection {name[:80]!r}, so there is nothing to delete.")
            number, description = found
            parts = Description.model_validate_json(description).model.parts
            connection.execute(Tables(number, parts).removal)

    def close(self) -> None:
        self._database.close()
