"""What a ready server serves with: models, work queue, limits, keys, answer cache; and the reload of its models."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import NamedTuple, Protocol, TypeVar

from starlette.requests import Request

from phototriage.collection_stores.opening import open_catalogue
from phototriage.collections.catalogue import Catalogue, embedder_of, is_of
from phototriage.collections.collection import Collection
from phototriage.common import metrics
from phototriage.common.errors import Overloaded, UnknownCollection
from phototriage.models.embedder import Embedder
from phototriage.models.model_set import Models
from phototriage.server.access import Access
from phototriage.server.answer_cache import AnswerCache
from phototriage.server.collection_figures import CollectionFigures
from phototriage.server.deadline import Deadline
from phototriage.server.model_changes import read_again
from phototriage.server.work_queue import WorkQueue
from phototriage.settings import Settings
from phototriage.triage.schemas import ReloadResponse, TakenUp

T = TypeVar("T", covariant=True)

PATIENCE = 5.0  # seconds for an earlier server to let go of its collections
STUCK_DEADLINES = 3  # work that has taken so many deadlines is taken for stuck


class Receive(Protocol[T]):
    """Reads what a request brings, within its deadline."""

    async def __call__(self, request: Request, serving: Serving, deadline: Deadline) -> T: ...


class Opened(NamedTuple):
    """A collection, and the embedder of its photos."""

    collection: Collection
    model: Embedder


class Serving:
    """The state of a ready server. Raises KeyFileError, StoreUnavailable."""

    def __init__(self, settings: Settings, models: Models, is_draining: Callable[[], bool]) -> None:
        self._is_draining = is_draining
        self.settings = settings
        self.models = models
        self.queue = WorkQueue(settings.threads)
        self.access = Access([key.get_secret_value() for key in settings.api_keys], settings.api_keys_file)
        self.cache = AnswerCache(settings.answer_cache_bytes) if settings.answer_cache_bytes else None
        self.catalogue: Catalogue | None = None
        self.figures: CollectionFigures | None = None
        if settings.collections is not None:
            self.catalogue = open_catalogue(settings.collections, settings, PATIENCE)
            self.figures = CollectionFigures(self.catalogue, settings.collections, settings.max_collection_photos)
        self._retired: list[Embedder] = []
        self._reloading = self._reload_requested = False
        _publish_models(models)
        metrics.READY.set(1)

    def check_ready(self) -> None:
        """Raise Overloaded, which says why, if the server can't take requests."""
        if self._is_draining():
            raise Overloaded("The server is stopping. Ask another one.")
        limit = STUCK_DEADLINES * self.settings.deadline_seconds
        if self.queue.busy_seconds > limit:
            raise Overloaded(f"Work has been running for more than {limit:g} s. Restart the server.")

    @property
    def kept(self) -> Catalogue:
        """The collections. Raises UnknownCollection where the server keeps none."""
        if self.catalogue is None:
            raise UnknownCollection(
                "This server keeps no collections. Start it with PHOTOTRIAGE_COLLECTIONS=FOLDER, where it may write, "
                "or =postgresql://USER@HOST/DATABASE."
            )
        return self.catalogue

    def opened(self, name: str, model: Embedder | None = None) -> Opened:
        """A collection by its name. model: the embedder to take if its embeddings are those of the collection. Raises
        UnknownCollection, ForeignCollection, StoreUnavailable."""
        collection = self.kept.get(name)
        if model is not None and is_of(collection.store.description.model, model):
            return Opened(collection, model)
        return Opened(collection, embedder_of(collection, self.embedders()))

    def embedders(self) -> list[Embedder]:
        """Those that are served, and those that are no longer, but that photos of a collection were embedded by."""
        return [*self.models.embedders.values(), *self._retired]

    def _retire(self, old: Models, new: Models) -> None:
        """Keep the embedders that collections need and that are about to go, until the server stops."""
        if self.catalogue is None:
            return
        served = {model.manifest.version for model in [*new.embedders.values(), *self._retired]}
        needed = [description.model for description in self.catalogue.descriptions()]
        self._retired += [
            model
            for model in old.embedders.values()
            if model.manifest.version not in served and any(is_of(of, model) for of in needed)
        ]

    async def reload(self) -> ReloadResponse:
        """Read the models directory again, while requests are served. Raises Overloaded if a reload is running, which
        then reads the directory once more before it ends."""
        self._reload_requested = True
        if self._reloading:
            raise Overloaded("The models are being read again already, and will be once more. Ask again to see.")
        self._reloading = True
        taken_up: list[TakenUp] = []
        try:
            while self._reload_requested:
                self._reload_requested = False
                changes = await asyncio.to_thread(read_again, self.settings, self.models)
                # Requests that have begun keep the models that they began with.
                await asyncio.to_thread(self._retire, self.models, changes.models)
                old, self.models = self.models, changes.models
                _publish_models(self.models)
                _withdraw_models(old, self.models)
                taken_up += changes.response.taken_up
                metrics.RELOADS.labels("refused" if changes.response.refused else "taken_up").inc()
        finally:
            self._reloading = False
        return changes.response.model_copy(update={"taken_up": taken_up})

    def close(self) -> None:
        metrics.READY.set(0)
        self.queue.close()
        if self.catalogue is not None:
            self.catalogue.close()


def _publish_models(models: Models) -> None:
    """Show the models in the metrics."""
    for model in models.all:
        metrics.MODELS.labels(model.name, model.manifest.kind, model.manifest.version).set(1)


def _withdraw_models(old: Models, served: Models) -> None:
    """Set the metrics of the models that are no longer served to 0."""
    versions = {(model.name, model.manifest.version) for model in served.all}
    for model in old.all:
        if (model.name, model.manifest.version) not in versions:
            metrics.MODELS.labels(model.name, model.manifest.kind, model.manifest.version).set(0)
