"""What a ready server has: models, threads, limits, keys, kept answers; and how its models are exchanged."""

from __future__ import annotations

import asyncio

from phototriage.common import metrics
from phototriage.common.errors import Overloaded
from phototriage.models.model_set import Models
from phototriage.server.access import Access
from phototriage.server.answer_cache import AnswerCache
from phototriage.server.connections import Connection
from phototriage.server.model_changes import read_again
from phototriage.server.work_queue import WorkQueue
from phototriage.settings import Settings
from phototriage.triage.schemas import ReloadResponse, TakenUp

STUCK_DEADLINES = 3  # work that takes so many of them will not come back


class Serving:
    """Raises KeyFileError."""

    def __init__(self, settings: Settings, models: Models) -> None:
        self.settings = settings
        self.models = models
        self.queue = WorkQueue(settings.threads)
        self.access = Access([key.get_secret_value() for key in settings.api_keys], settings.api_keys_file)
        self.cache = AnswerCache(settings.answer_cache_bytes) if settings.answer_cache_bytes else None
        self._reloading = self._asked_again = False
        _tell(models)
        metrics.READY.set(1)

    def check_ready(self) -> None:
        """Raises Overloaded, which says why not."""
        if Connection.draining:
            raise Overloaded("The server is stopping. Ask another one.")
        limit = STUCK_DEADLINES * self.settings.deadline_seconds
        if self.queue.busy_seconds > limit:
            raise Overloaded(f"Work has been running for more than {limit:g} s. Restart the server.")

    async def reload(self) -> ReloadResponse:
        """Read the models directory again, beside the requests. Raises Overloaded while that goes on already; what has
        changed by then is taken up all the same."""
        self._asked_again = True
        if self._reloading:
            raise Overloaded("The models are being read again already, and will be once more. Ask again to see.")
        self._reloading = True
        taken: list[TakenUp] = []
        try:
            while self._asked_again:
                self._asked_again = False
                changes = await asyncio.to_thread(read_again, self.settings, self.models)
                # Requests that have begun hold the models that they began with.
                old, self.models = self.models, changes.models
                _tell(self.models)
                _untell(old, self.models)
                taken += changes.answer.taken_up
                metrics.RELOADS.labels("refused" if changes.answer.refused else "taken_up").inc()
        finally:
            self._reloading = False
        return changes.answer.model_copy(update={"taken_up": taken})

    def close(self) -> None:
        metrics.READY.set(0)
        self.queue.close()


def _tell(models: Models) -> None:
    for one in models.all:
        metrics.MODELS.labels(one.name, one.manifest.kind, one.manifest.version).set(1)


def _untell(models: Models, served: Models) -> None:
    """Of models that were served, those that aren't any more."""
    versions = {(one.name, one.manifest.version) for one in served.all}
    for one in models.all:
        if (one.name, one.manifest.version) not in versions:
            metrics.MODELS.labels(one.name, one.manifest.kind, one.manifest.version).set(0)
