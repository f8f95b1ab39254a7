"""A PostgreSQL database that servers share: its connections, its version, and what is said where it can't be reached.

psycopg (LGPL-3.0) is optional: `pip install 'phototriage[postgres]'`.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock
from time import monotonic
from typing import Any, TypeVar

import psycopg
from psycopg import errors, sql
from psycopg.abc import PQGen
from psycopg.pq import TransactionStatus
from psycopg.rows import TupleRow
from psycopg_pool import ConnectionPool

from phototriage.collection_stores.postgres_schema import LEAST_PGVECTOR, SCHEMA, STEPS
from phototriage.common.errors import StoreUnavailable, UnknownCollection

CONNECT_SECONDS = 3  # to wait for the database, also where nothing answers
AWAY_SECONDS = 1.0  # after a failed attempt nobody else waits
LOOK_SECONDS = 0.1  # between looks at whether an answer is late
SLACK_SECONDS = 2  # that an answer may come after the database's own limit
IDLE_SECONDS = 10  # that a transaction may be left open, as by a server that hangs
_LOCK = 0x70686F746F  # of this product's own, of all locks that callers may take: "photo"

T = TypeVar("T")

logger = logging.getLogger(__name__)


class Connection(psycopg.Connection[TupleRow]):
    """One that ends where the database doesn't answer, though the host does. patience: seconds; None: no limit."""

    patience: float | None = None

    def wait(self, gen: PQGen[T], interval: float = LOOK_SECONDS, timeout: float | None = None) -> T:
        try:
            return super().wait(gen, interval, self.patience if timeout is None else timeout)
        except psycopg.OperationalError:
            if not self.closed and self.info.transaction_status is TransactionStatus.ACTIVE:
                self.close()  # the answer would come to whoever asks next
            raise


class PostgresDatabase:
    """Threads share its connections. Connects when it is first asked: a server starts without its database, too.

    Methods raise StoreUnavailable where the database can't be reached, is full, or is too slow.
    """

    def __init__(self, address: str, connections: int, seconds: float) -> None:
        """address: a postgresql:// address; what it leaves out is taken from libpq's variables, such as PGPASSWORD.
        connections: at most so many; seconds: that a statement may take."""
        self._seconds = seconds
        milliseconds = int(1000 * seconds)
        settings = {
            "statement_timeout": milliseconds,
            "lock_timeout": milliseconds,
            "idle_in_transaction_session_timeout": 1000 * IDLE_SECONDS,
            "jit": "off",  # it takes longer than the query
        }
        self._pool: ConnectionPool[Connection] = ConnectionPool(
            address,
            min_size=0,
            max_size=connections,
            open=False,
            timeout=CONNECT_SECONDS + 1,
            reconnect_timeout=0,
            max_idle=600,
            configure=self._configure,
            check=self._check,
            connection_class=Connection,
            name="phototriage",
            kwargs={
                "autocommit": True,
                "connect_timeout": CONNECT_SECONDS,
                # A host that is gone is told from one that is slow.
                "keepalives_idle": 10,
                "keepalives_interval": 5,
                "keepalives_count": 3,
                "tcp_user_timeout": max(milliseconds, 1000 * CONNECT_SECONDS),
                "application_name": "phototriage",
                "options": " ".join(f"-c {name}={value}" for name, value in settings.items()),
            },
        )
        self._pool.open()
        self._lock = Lock()  # of what this process knows of the database
        self._away_until = 0.0
        self._is_current = False

    def _configure(self, connection: Connection) -> None:
        connection.patience = self._seconds + SLACK_SECONDS  # the database itself comes first

    @staticmethod
    def _check(connection: Connection) -> None:
        usual, connection.patience = connection.patience, CONNECT_SECONDS
        ConnectionPool.check_connection(connection)
        connection.patience = usual

    def close(self) -> None:
        self._pool.close(timeout=CONNECT_SECONDS)

    @contextmanager
    def connection(self) -> Iterator[Connection]:
        """A connection, outside of a transaction, to a database of this version. What the database can't do raises
        StoreUnavailable or, where a collection's tables are gone, UnknownCollection."""
        with _told(), self._connected() as connection:
            if not self._is_current:
                with self._lock:
                    if not self._is_current:
                        self._bring_up(connection)
                        self._is_current = True
            yield connection

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """A transaction that sees the database as it is at one moment."""
        with self.connection() as connection, connection.transaction():
            connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
            yield connection

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """A transaction. It is done when the block ends, or not at all; where the connection is lost at its end, it
        isn't known which."""
        with self.connection() as connection, connection.transaction():
            yield connection

    @contextmanager
    def _connected(self) -> Iterator[Connection]:
        if monotonic() < self._away_until:
            raise _unreachable()
        try:
            connection = self._pool.getconn()
        except psycopg.Error as error:
            self._away_until = monotonic() + AWAY_SECONDS
            logger.warning("The database of the collections can't be reached: %s", _first_line(error))
            raise _unreachable() from error
        try:
            yield connection
        finally:
            self._pool.putconn(connection)

    def _bring_up(self, connection: Connection) -> None:
        """Bring the database to this version, unless another server does: then wait for it."""
        with connection.transaction():
            lock_all(connection)
            (encoding,) = _row(connection.execute("SHOW server_encoding"))
            if encoding != "UTF8":
                raise StoreUnavailable(
                    f"The database of the collections is of encoding {encoding}, and ids may be of any script. Make "
                    "one with ENCODING 'UTF8', and have PHOTOTRIAGE_COLLECTIONS name it."
                )
            self._add_pgvector(connection)
            if _row(connection.execute("SELECT to_regclass(%s)", (f"{SCHEMA}.versions",))) == (None,):
                connection.execute(sql.SQL("CREATE SCHEMA IF NOT EXISTS {}").format(sql.Identifier(SCHEMA)))
                connection.execute("CREATE TABLE phototriage.versions (version int PRIMARY KEY, since timestamptz)")
            (version,) = _row(connection.execute("SELECT coalesce(max(version), 0) FROM phototriage.versions"))
            if version > len(STEPS):
                raise StoreUnavailable(
                    f"The database of the collections is of version {version}, and this server knows {len(STEPS)}. "
                    "Take the version of phototriage that the other servers have."
                )
            for number in range(version + 1, len(STEPS) + 1):
                connection.execute(STEPS[number - 1])
                connection.execute("INSERT INTO phototriage.versions VALUES (%s, now())", (number,))
                logger.info("The database of the collections is of version %d now", number)

    @staticmethod
    def _add_pgvector(connection: Connection) -> None:
        query = "SELECT extversion FROM pg_extension WHERE extname = 'vector'"
        if connection.execute(query).fetchone() is None:
            try:
                with connection.transaction():
                    connection.execute("CREATE EXTENSION IF NOT EXISTS vector")
            except (errors.InsufficientPrivilege, errors.UndefinedFile, errors.FeatureNotSupported) as error:
                raise StoreUnavailable(
                    f"The database of the collections lacks pgvector ({_first_line(error)}). Install it beside the "
                    "database, and have its owner run: CREATE EXTENSION vector"
                ) from error
        (version,) = _row(connection.execute(query))
        if tuple(int(number) for number in re.findall(r"\d+", version)[:2]) < LEAST_PGVECTOR:
            raise StoreUnavailable(
                f"The database of the collections has pgvector {version}, and {'.'.join(map(str, LEAST_PGVECTOR))} is "
                "needed. Install it, and run: ALTER EXTENSION vector UPDATE"
            )


def lock_all(connection: Connection) -> None:
    """Have other servers wait, until this transaction ends, before they make or delete collections."""
    connection.execute("SELECT pg_advisory_xact_lock(%s)", (_LOCK,))


def _row(cursor: psycopg.Cursor[TupleRow]) -> Any:
    """The one row of an answer that has one."""
    return cursor.fetchone()


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0]


def _unreachable() -> StoreUnavailable:
    return StoreUnavailable("The database of the collections can't be reached now. Try again later.")


@contextmanager
def _told() -> Iterator[None]:
    """What the database can't do, as an error of ours; what it said of itself is for the log, not for callers."""
    try:
        yield
    except errors.UndefinedTable as error:
        raise UnknownCollection("The collection was deleted meanwhile.") from error
    except (errors.QueryCanceled, errors.LockNotAvailable) as error:
        raise StoreUnavailable(
            "The database of the collections took too long, so nothing was changed. Try again later."
        ) from error
    except (psycopg.OperationalError, psycopg.InternalError, errors.InsufficientPrivilege) as error:
        logger.warning("The database of the collections refused (%s): %s", error.sqlstate, _first_line(error))
        raise StoreUnavailable(
            f"The database of the collections can't keep or read them now ({error.sqlstate or 'connection lost'}). "
            "See to it, or try again later."
        ) from error
