"""The service with connections that lack a part, for `benchmarks.connection_parts`: CONNECTION_WITHOUT names it."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable

import httptools

from phototriage.server.bento_service import Phototriage
from phototriage.server.connections import Connection

__all__ = ["Phototriage"]

_whole = Connection.connection_made


def _without_parser(connection: Connection, transport: asyncio.Transport) -> None:
    """httptools' own parser, as uvicorn makes it."""
    _whole(connection, transport)
    connection.parser = httptools.HttpRequestParser(connection)
    connection.parser.set_dangerous_leniencies(lenient_data_after_close=True)


VARIANTS: dict[str, Callable[[Connection, asyncio.Transport], None]] = {
    "": _whole,
    "Parser": _without_parser,
}

Connection.connection_made = VARIANTS[os.environ["CONNECTION_WITHOUT"]]  # type: ignore[assignment, method-assign]
