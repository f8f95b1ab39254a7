"""Requests to an ASGI application in this process, without a server."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
from starlette.types import ASGIApp


class AsgiClient:
    """httpx's calls, each in an event loop of its own. What the application raises is raised here too."""

    def __init__(self, application: ASGIApp, raise_errors: bool = True) -> None:
        # httpx has its own, narrower types for the same calls.
        self._application: Any = application
        self._raise_errors = raise_errors

    def request(self, method: str, url: str, **options: Any) -> httpx.Response:
        async def send() -> httpx.Response:
            transport = httpx.ASGITransport(self._application, raise_app_exceptions=self._raise_errors)
            async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
                return await client.request(method, url, **options)

        return asyncio.run(send())

    def get(self, url: str, **options: Any) -> httpx.Response:
        return self.request("GET", url, **options)

    def post(self, url: str, **options: Any) -> httpx.Response:
        return self.request("POST", url, **options)
