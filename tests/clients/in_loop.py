"""The asynchronous Python client by the calls of the other one."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncGenerator, Callable
from typing import Any


class InLoop:
    """The client, or one of its collections; each call is made in the runner's loop. What comes by and by comes as a
    list."""

    def __init__(self, runner: asyncio.Runner, inner: Any) -> None:
        self._runner, self._inner = runner, inner

    def __getattr__(self, name: str) -> Callable[..., Any]:
        method = getattr(self._inner, name)

        def call(*values: Any, **options: Any) -> Any:
            given: Any = method(*values, **options)
            if isinstance(given, AsyncGenerator):
                return self._runner.run(_collect(given))
            return self._runner.run(given) if inspect.iscoroutine(given) else InLoop(self._runner, given)

        return call


async def _collect(items: AsyncGenerator[Any, None]) -> list[Any]:
    return [item async for item in items]
