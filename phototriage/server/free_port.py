"""Whether a server can listen there, said before it begins: `python -m phototriage.server.free_port HOST PORT`."""

from __future__ import annotations

import errno
import socket
import sys
from collections.abc import Sequence

MOST = 65_535


def main(arguments: Sequence[str]) -> int:
    """0 if it can, else 1 and a line to stderr that says why and what to do."""
    host, port = arguments
    try:
        if not 1 <= int(port) <= MOST:
            raise ValueError  # getaddrinfo would take it modulo 65536
        where = socket.getaddrinfo(host, int(port), type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        with socket.socket(where[0], socket.SOCK_STREAM) as tried:
            tried.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # connections that have ended don't count
            tried.bind(where[4])
            tried.listen()
    except OSError as error:
        said = "is taken by another program" if error.errno == errno.EADDRINUSE else f"can't be had: {error.strerror}"
    except ValueError:
        said = f"isn't a port: those go from 1 to {MOST}"
    else:
        return 0
    print(f"Port {port} of {host} {said}. Choose another: make serve PORT=3001", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
