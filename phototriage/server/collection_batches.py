"""The handlers of collections' routes that take many photos at once, as images or as embeddings."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

from pydantic import BaseModel
from starlette.requests import Request
from starlette.responses import Response

from phototriage.collections import schemas
from phototriage.collections.embedded_photos import AddedPhotos, QueriedPhotos, read
from phototriage.collections.photos import check_id, check_tags, ids_of
from phototriage.common.errors import MalformedRequest, PhototriageError
from phototriage.images.pixels import ImageLimits
from phototriage.models.embedder import Embedder
from phototriage.server import drift
from phototriage.server.deadline import Deadline
from phototriage.server.error_responses import count_store_error
from phototriage.server.form import File
from phototriage.server.query import JSON, read_query
from phototriage.server.serving import Opened, Receive, Serving
from phototriage.triage.comparison import Side, Thresholds, checked_embedding, embedded
from phototriage.triage.embedding import EmbeddedImage
from phototriage.triage.problems import problem_of
from phototriage.triage.schemas import Embedding, Problem

T = TypeVar("T")
Received = list[File] | bytes  # files of a form, or a JSON body


@dataclass(frozen=True)
class _Sent:
    """One of the photos. name: its file's name, or the id that came with its embedding; empty if there was none."""

    name: str
    content: File | Embedding
    tags: tuple[str, ...] = ()

    def embedded(self, model: Embedder, limits: ImageLimits, deadline: float) -> EmbeddedImage:
        if isinstance(self.content, Embedding):
            return checked_embedding(model, self.content)
        if self.content.refused is not None:
            raise self.content.refused
        return embedded(model, Side("image", "image", self.content.joined()), limits, deadline)


class CollectionBatchesApi:
    """admitted: gives what serves a request that may be served."""

    def __init__(self, admitted: Callable[[Request], Serving], receive: Receive[Received]) -> None:
        self._admitted, self._receive = admitted, receive

    async def add_photos(self, request: Request) -> Response:
        query = read_query(request, schemas.AddBatchQuery)
        serving = self._admitted(request)
        deadline = Deadline(serving.settings.deadline_seconds)
        received = await self._receive(request, serving, deadline)
        opened, sent = await self._opened(request, serving, deadline, lambda: _added(received))

        def add(photo: _Sent, id: str | MalformedRequest) -> schemas.AddResponse:
            if isinstance(id, MalformedRequest):
                raise id
            tags = check_tags((*(query.tags or ()), *photo.tags))
            image = photo.embedded(opened.model, serving.settings.image_limits, deadline.at)
            thresholds = Thresholds(query.threshold, query.min_probability)
            most, aside = serving.settings.max_collection_photos, serving.queue.aside
            told = opened.collection.add(
                opened.model, image, id, tags, query.if_new, most, thresholds, deadline.at, aside
            )
            return drift.count_addition(told)

        ids = ids_of([photo.name for photo in sent])
        works = [partial(add, photo, id) for photo, id in zip(sent, ids, strict=True)]
        items = [
            schemas.AddBatchItem(index=index, id=photo.name, result=_answer(outcome), error=_error(outcome))
            for index, (photo, outcome) in enumerate(zip(sent, await _each(works, serving, deadline), strict=True))
        ]
        return _json(schemas.AddBatchResponse(results=items))

    async def query_photos(self, request: Request) -> Response:
        query = read_query(request, schemas.QueryBatchQuery)
        serving = self._admitted(request)
        deadline = Deadline(serving.settings.deadline_seconds)
        received = await self._receive(request, serving, deadline)
        opened, sent = await self._opened(request, serving, deadline, lambda: _queried(received))

        def ask(photo: _Sent) -> schemas.CollectionQueryResponse:
            own = check_id(photo.name) if isinstance(photo.content, Embedding) and photo.name else None
            image = photo.embedded(opened.model, serving.settings.image_limits, deadline.at)
            thresholds, aside = Thresholds(query.threshold, query.min_probability), serving.queue.aside
            found = opened.collection.query(
                opened.model, image, own, query.tags or (), query.top_k, thresholds, deadline.at, aside
            )
            return drift.count_query(found)

        works = [partial(ask, photo) for photo in sent]
        items = [
            schemas.QueryBatchItem(index=index, id=photo.name, result=_answer(outcome), error=_error(outcome))
            for index, (photo, outcome) in enumerate(zip(sent, await _each(works, serving, deadline), strict=True))
        ]
        return _json(schemas.QueryBatchResponse(results=items))

    @staticmethod
    async def _opened(
        request: Request, serving: Serving, deadline: Deadline, read_photos: Callable[[], list[_Sent]]
    ) -> tuple[Opened, list[_Sent]]:
        def work() -> tuple[Opened, list[_Sent]]:
            return serving.opened(request.path_params["collection"]), read_photos()

        return await serving.queue.run(work, deadline.on_loop)


def _added(received: Received) -> list[_Sent]:
    if isinstance(received, bytes):
        return [_Sent(photo.id, photo.embedding, photo.tags) for photo in read(received, AddedPhotos).photos]
    return [_Sent(file.name, file) for file in received]


def _queried(received: Received) -> list[_Sent]:
    if isinstance(received, bytes):
        return [_Sent(photo.id or "", photo.embedding) for photo in read(received, QueriedPhotos).photos]
    return [_Sent(file.name, file) for file in received]


async def _each(works: Sequence[Callable[[], T]], serving: Serving, deadline: Deadline) -> list[T | PhototriageError]:
    """What came of each. No error of one is raised, since that would take the others along."""

    def told(work: Callable[[], T]) -> T | PhototriageError:
        try:
            return work()
        except PhototriageError as error:
            count_store_error(error)
            return error

    return [*await serving.queue.run_each([partial(told, work) for work in works], deadline.on_loop)]


def _answer(outcome: T | PhototriageError) -> T | None:
    return None if isinstance(outcome, PhototriageError) else outcome


def _error(outcome: object) -> Problem | None:
    return problem_of(outcome) if isinstance(outcome, PhototriageError) else None


def _json(answer: BaseModel) -> Response:
    return Response(answer.model_dump_json(exclude_none=True), media_type=JSON)
