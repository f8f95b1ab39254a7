"""The HTTP contract as one ASGI application: a handler a route, admission, deadlines."""

from __future__ import annotations

import asyncio
import json
import math
from collections.abc import Callable, Mapping
from typing import TypeVar

from pydantic import BaseModel
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from phototriage.common import metrics
from phototriage.common.errors import Overloaded
from phototriage.contract import openapi
from phototriage.contract.operation import Method
from phototriage.contract.routes import OPERATIONS
from phototriage.models.model_set import Models
from phototriage.server import drift
from phototriage.server.collection_batches import CollectionBatchesApi
from phototriage.server.collections_api import CollectionsApi
from phototriage.server.connections import Connection
from phototriage.server.deadline import Deadline
from phototriage.server.form import File
from phototriage.server.query import JSON, PNG, prefers_png, read_query, refuse_query
from phototriage.server.receiving import MAX_UPLOADS, Uploads
from phototriage.server.router import Handler, Route, Router
from phototriage.server.serving import Serving
from phototriage.server.triage_api import TriageApi
from phototriage.server.uploads import read_batch, read_image, read_images, read_pair, read_photo
from phototriage.settings import Settings
from phototriage.triage import comparison, pipeline, responses
from phototriage.triage.comparison import Side, Thresholds
from phototriage.triage.comparison_schemas import DuplicatesQuery
from phototriage.triage.pipeline import PipelineOutputs, Plan, TriageRequest
from phototriage.triage.schemas import (
    ClassifyQuery,
    DifficultyQuery,
    Health,
    ModelQuery,
    ReloadResponse,
    SaliencyQuery,
)

T = TypeVar("T")
Finish = Callable[[Plan, PipelineOutputs], Response]

PUBLISH_SECONDS = 0.5


class HttpApi:
    """The ASGI application. It answers from the first moment on, but is ready only after `start`."""

    def __init__(self) -> None:
        self._serving: Serving | None = None
        self._uploads = Uploads(self._publish_soon)
        self._then: Callable[[], None] = lambda: None
        self._document = json.dumps(openapi.document()).encode()
        # A handler has its operation's identifier as its name, so that no path is written twice.
        places = (
            self,
            TriageApi(self._admitted, self._answer, self._receive_image, self._receive_images),
            CollectionsApi(self._admitted, self._receive_photo),
            CollectionBatchesApi(self._admitted, self._receive_batch),
        )
        handlers: dict[str, dict[Method, Handler]] = {}
        for each in OPERATIONS:
            place = next(place for place in places if hasattr(place, each.identifier))
            handlers.setdefault(each.path, {})[each.method] = getattr(place, each.identifier)
        self._router = Router({path: Route(path, by_method) for path, by_method in handlers.items()})
        self._publishing: asyncio.TimerHandle | None = None

    @property
    def routes(self) -> Mapping[str, Route]:
        return self._router.routes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._router(scope, receive, send)

    def start(self, settings: Settings, models: Models) -> None:
        """Raises KeyFileError, StoreUnavailable."""
        self._serving = Serving(settings, models, lambda: Connection.draining)
        self._router.configure(settings)

    def after_reload(self, then: Callable[[], None]) -> None:
        """Have it called when a caller of this process has had the models read again."""
        self._then = then

    async def reload_models(self) -> ReloadResponse:
        """Take up what has changed in the models directory. Raises Overloaded."""
        return await self._ready().reload()

    def stop(self) -> None:
        if self._serving is not None:
            self._serving.close()
            self._serving = None

    def _publish_soon(self) -> None:
        """Write the gauges down while requests come, twice a second: setting one takes as long as counting ten."""
        if self._publishing is None:
            self._publishing = asyncio.get_running_loop().call_later(PUBLISH_SECONDS, self._publish)

    def _publish(self) -> None:
        if self._publishing is not None:
            self._publishing.cancel()  # where a scrape came first: else each would leave a timer of its own behind
            self._publishing = None
        metrics.UPLOADS.set(self._uploads.images)
        if self._serving is not None:
            queue = self._serving.queue
            metrics.CAPACITY.set(queue.capacity)
            metrics.QUEUE_DEPTH.set(queue.depth)
            if queue.depth or self._uploads.images:
                self._publish_soon()

    async def classify(self, request: Request) -> Response:
        query = read_query(request, ClassifyQuery)
        triage_request = TriageRequest(("classify",), classifier=query.model, top_k=query.top_k)

        def finish(plan: Plan, outputs: PipelineOutputs) -> Response:
            answer = pipeline.classify_part(plan, outputs)
            drift.count_label(answer)
            return _json(answer, exclude_none=True)

        return await self._answer(request, triage_request, finish)

    async def difficulty(self, request: Request) -> Response:
        query = read_query(request, DifficultyQuery)
        triage_request = TriageRequest(("difficulty",), classifier=query.model, label=query.label)

        def finish(plan: Plan, outputs: PipelineOutputs) -> Response:
            answer = pipeline.difficulty_part(plan, outputs)
            drift.count_difficulty(answer)
            return _json(answer, exclude_none=True)

        return await self._answer(request, triage_request, finish)

    async def saliency(self, request: Request) -> Response:
        query = read_query(request, SaliencyQuery)
        as_png = prefers_png(request)
        triage_request = TriageRequest(("saliency",), classifier=query.model, method=query.method, target=query.target)

        def finish(plan: Plan, outputs: PipelineOutputs) -> Response:
            saliency = pipeline.saliency_part(plan, outputs)
            if as_png:
                return Response(saliency.png(), headers={"Vary": "Accept"}, media_type=PNG)
            body = saliency.answer().model_dump_json(exclude_none=True)
            return Response(body, headers={"Vary": "Accept"}, media_type=JSON)

        return await self._answer(request, triage_request, finish)

    async def embed(self, request: Request) -> Response:
        query = read_query(request, ModelQuery)
        triage_request = TriageRequest(("embed",), embedder=query.model)
        return await self._answer(
            request, triage_request, lambda plan, outputs: _json(pipeline.embed_part(plan, outputs), exclude_none=True)
        )

    async def duplicates(self, request: Request) -> Response:
        query = read_query(request, DuplicatesQuery)
        thresholds = Thresholds(query.threshold, query.min_probability)
        as_png = query.explain and prefers_png(request)
        serving = self._admitted(request)
        models, limits = serving.models, serving.settings.image_limits
        deadline = Deadline(serving.settings.deadline_seconds)
        sides = await self._uploads.receive(request, serving.settings, read_pair, deadline, 2)

        def work() -> Response:
            if as_png:
                answer, png = comparison.drawn(models, *sides, query.model, thresholds, limits, deadline.at)
                drift.count_pair(answer)
                return Response(png, headers={"Vary": "Accept"}, media_type=PNG)
            answer = comparison.duplicates(models, *sides, query.model, thresholds, query.explain, limits, deadline.at)
            drift.count_pair(answer)
            # Not by null: an explanation says null of a side that was an embedding.
            body, headers = answer.model_dump_json(exclude_unset=True), {"Vary": "Accept"} if query.explain else None
            return Response(body, headers=headers, media_type=JSON)

        content = [part for side in sides for part in (side.kind.encode(), side.content)]
        return await self._work(request, serving, models, content, work, deadline)

    async def models(self, request: Request) -> Response:
        serving = self._ready()
        serving.access.check(request)
        refuse_query(request)
        return _json(responses.list_models(serving.models))

    async def models_reload(self, request: Request) -> Response:
        serving = self._ready()
        serving.access.demand(request)
        refuse_query(request)
        answer = await serving.reload()
        self._then()
        return _json(answer)

    async def livez(self, request: Request) -> Response:
        return _json(Health(status="alive"))

    async def healthz(self, request: Request) -> Response:
        return await self.livez(request)

    async def readyz(self, request: Request) -> Response:
        self._ready().check_ready()
        return _json(Health(status="ready"))

    async def metrics(self, request: Request) -> Response:
        self._publish()
        figures = None
        if self._serving is not None:
            self._serving.access.check(request)
            if (figures := self._serving.figures) is not None:
                await figures.refresh()
        return Response(metrics.exposition(figures), headers={"Content-Type": metrics.CONTENT_TYPE})

    async def docs(self, request: Request) -> Response:
        return Response(self._document, media_type=JSON)

    def _ready(self) -> Serving:
        if self._serving is None:
            raise Overloaded("The models are still being loaded and verified. Try again later.")
        return self._serving

    def _admitted(self, request: Request) -> Serving:
        """What serves a request that has a key, where one is needed, and a place in the queue."""
        serving = self._ready()
        serving.access.check(request)
        serving.queue.refuse_if_full()
        return serving

    async def _answer(self, request: Request, triage_request: TriageRequest, finish: Finish) -> Response:
        """Read one image, run the models that the request needs, and finish the answer, all but the reading in a
        thread."""
        serving = self._admitted(request)
        models, limits = serving.models, serving.settings.image_limits
        plan = pipeline.make_plan(models, triage_request)
        deadline = Deadline(serving.settings.deadline_seconds)
        image = await self._receive_image(request, serving, deadline)

        def work() -> Response:
            return finish(plan, pipeline.run_models(plan, image, limits, deadline.at, serving.queue.aside))

        return await self._work(request, serving, models, [image], work, deadline)

    async def _receive_image(self, request: Request, serving: Serving, deadline: Deadline) -> bytes:
        return await self._uploads.receive(request, serving.settings, read_image, deadline, 1)

    async def _receive_photo(self, request: Request, serving: Serving, deadline: Deadline) -> Side:
        return await self._uploads.receive(request, serving.settings, read_photo, deadline, 1)

    async def _receive_images(self, request: Request, serving: Serving, deadline: Deadline) -> list[File]:
        return await self._uploads.receive(request, serving.settings, read_images, deadline, _weight(serving.settings))

    async def _receive_batch(self, request: Request, serving: Serving, deadline: Deadline) -> list[File] | bytes:
        return await self._uploads.receive(request, serving.settings, read_batch, deadline, _weight(serving.settings))

    async def _work(
        self,
        request: Request,
        serving: Serving,
        models: Models,
        content: list[bytes],
        work: Callable[[], Response],
        deadline: Deadline,
    ) -> Response:
        """The answer to the content, from the cache if there is one and it is there, else from a thread."""
        cache = serving.cache
        if cache is None:
            return await serving.queue.run(work, deadline.on_loop)
        request_parts = [request.url.path.encode(), scope_query(request), str(prefers_png(request)).encode()]
        versions = [model.manifest.version.encode() for model in models.all]
        key = await asyncio.to_thread(cache.key, [*request_parts, b"", *versions, b"", *content])
        cached = cache.get(key)
        if cached is not None:
            return cached
        answer = await serving.queue.run(work, deadline.on_loop)
        cache.keep(key, answer)
        return answer


def _weight(settings: Settings) -> int:
    """Of many images: as many as may have as many bytes."""
    return min(math.ceil(settings.max_request_bytes / settings.max_image_bytes), MAX_UPLOADS)


def scope_query(request: Request) -> bytes:
    """The query as it was sent."""
    query: bytes = request.scope["query_string"]
    return query


def _json(answer: BaseModel, *, exclude_none: bool = False) -> Response:
    return Response(answer.model_dump_json(exclude_none=exclude_none), media_type=JSON)
