"""What both clients tell httpx about the server."""

from __future__ import annotations

from importlib.metadata import version
from typing import Any

import httpx

CONNECT_SECONDS = 5.0
ANSWER_SECONDS = 15.0  # the server's own deadline is 10 unless it is set otherwise
KEPT_SECONDS = 3.0  # the server closes connections that were idle for 5
CONNECTIONS = 100


def options(url: str, api_key: str | None, seconds: float) -> dict[str, Any]:
    """Of httpx's clients. Raises ValueError, which never shows the key."""
    if httpx.URL(url).scheme not in ("http", "https") or not httpx.URL(url).host:
        raise ValueError(f"{url!r} is no address of a server: give one as http://localhost:3000 or https://…")
    if seconds <= 0:
        raise ValueError(f"timeout is {seconds} s, and has to be more than 0")
    headers = {"user-agent": f"phototriage-client/{version('phototriage-client')}"}
    if api_key is not None:
        if not api_key.isascii() or not api_key.isprintable() or not api_key or " " in api_key:
            raise ValueError("the API key is empty or has characters that no header can hold: strip it, and look again")
        headers["authorization"] = f"Bearer {api_key}"
    limits = httpx.Limits(
        max_connections=CONNECTIONS, max_keepalive_connections=CONNECTIONS, keepalive_expiry=KEPT_SECONDS
    )
    return {"base_url": url, "headers": headers, "timeout": timeout(seconds), "limits": limits}


def timeout(seconds: float) -> httpx.Timeout:
    """Each for connecting, for a piece of the request to go out, and for the answer to come."""
    return httpx.Timeout(seconds, connect=min(CONNECT_SECONDS, seconds))
