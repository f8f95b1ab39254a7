"""Whether a server can listen on a port, found out before it begins, to say so in a line and not by a traceback."""

from __future__ import annotations

import errno
import socket

MOST = 65_535


class PortUnavailable(Exception):
    """No server can listen there. The message says why and what to do."""


def address_of(host: str, port: str) -> str:
    """The numeric address of the host, on which a server can listen at the port. Raises PortUnavailable."""
    try:
        if not 1 <= int(port) <= MOST:
            raise ValueError  # getaddrinfo would take it modulo 65536
        family, kind, *_, address = socket.getaddrinfo(
            host, int(port), type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        with socket.socket(family, kind) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # connections that have ended don't count
            probe.bind(address)
            probe.listen()
        return str(address[0])
    except OSError as error:
        reason = "is taken by another program" if error.errno == errno.EADDRINUSE else f"can't be had: {error.strerror}"
    except ValueError:
        reason = f"isn't a port: those go from 1 to {MOST}"
    raise PortUnavailable(
        f"Port {port} of {host} {reason}. Choose another: phototriage serve --port 3001, or make serve PORT=3001"
    )
