"""The HTTP contract as one ASGI application: a handler a route, admission, deadlines, the count of answers."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from time import perf_counter
from typing import TypeVar

from pydantic import BaseModel, ValidationError
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import Message, Receive, Scope, Send

from phototriage import assessment, comparison, metrics, openapi, problems, triage
from phototriage.comparison import Side
from phototriage.errors import DeadlineExceeded, MalformedRequest, Overloaded
from phototriage.models import Models
from phototriage.schemas import ClassifyQuery, DifficultyQuery, DuplicatesQuery, Health, ModelQuery, SaliencyQuery
from phototriage.settings import Settings
from phototriage.uploads import read_image, read_pair
from phototriage.work_queue import WorkQueue

Query = TypeVar("Query", bound=BaseModel)
T = TypeVar("T")

JSON, PNG = "application/json", "image/png"
MAX_UPLOADS = 64  # each may hold as many bytes as an image may have

# Every answer is data: nothing in it is to be guessed at, run, framed or kept.
SAFETY_HEADERS = [
    (b"x-content-type-options", b"nosniff"),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
    (b"cache-control", b"no-store"),
]


@dataclass(frozen=True)
class Serving:
    """What is there once the models are verified and warm."""

    settings: Settings
    models: Models
    queue: WorkQueue


class HttpApi:
    """The ASGI application. It answers from the first moment on, but is ready only after `start`."""

    def __init__(self) -> None:
        self._serving: Serving | None = None
        self._uploads = 0
        self._document = json.dumps(openapi.document()).encode()
        routes = [
            Route("/v1/classify", self.classify, methods=["POST"]),
            Route("/v1/difficulty", self.difficulty, methods=["POST"]),
            Route("/v1/saliency", self.saliency, methods=["POST"]),
            Route("/v1/embed", self.embed, methods=["POST"]),
            Route("/v1/duplicates", self.duplicates, methods=["POST"]),
            Route("/v1/models", self.models, methods=["GET"]),
            Route("/livez", self.livez, methods=["GET"]),
            Route("/healthz", self.livez, methods=["GET"]),
            Route("/readyz", self.readyz, methods=["GET"]),
            Route("/metrics", self.metrics, methods=["GET"]),
            Route("/docs.json", self.docs, methods=["GET"]),
        ]
        self.application = Starlette(routes=routes, exception_handlers=problems.HANDLERS)
        self.application.router.redirect_slashes = False  # a redirect would loop through the Host header's words
        self._paths = frozenset(route.path for route in routes)

    def start(self, settings: Settings, models: Models) -> None:
        self._serving = Serving(settings, models, WorkQueue(settings.threads))

    def stop(self) -> None:
        if self._serving is not None:
            self._serving.queue.close()
            self._serving = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, add the headers that every answer has, and count it."""
        if scope["type"] != "http":
            await self.application(scope, receive, send)
            return
        start, status = perf_counter(), 500

        async def send_on(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message.get("headers", []), *SAFETY_HEADERS]
            await send(message)

        try:
            await self.application(scope, receive, send_on)
        finally:
            # Paths are the caller's to choose: an unknown one must not become a label.
            route = scope["path"] if scope["path"] in self._paths else "other"
            metrics.REQUESTS.labels(route, status).inc()
            metrics.DURATIONS.labels(route).observe(perf_counter() - start)

    async def classify(self, request: Request) -> Response:
        query = _read_query(request, ClassifyQuery)
        serving = self._ready()

        def work(image: bytes) -> Response:
            answer = triage.classify(serving.models, image, query.model, query.top_k, serving.settings.image_limits)
            return _json(answer)

        return await self._work(request, serving, read_image, work)

    async def difficulty(self, request: Request) -> Response:
        query = _read_query(request, DifficultyQuery)
        serving = self._ready()

        def work(image: bytes) -> Response:
            limits = serving.settings.image_limits
            return _json(assessment.difficulty(serving.models, image, query.model, query.label, limits))

        return await self._work(request, serving, read_image, work)

    async def saliency(self, request: Request) -> Response:
        query = _read_query(request, SaliencyQuery)
        as_png = _prefers_png(request.headers.getlist("accept"))
        serving = self._ready()

        def work(image: bytes) -> Response:
            saliency = triage.saliency(
                serving.models, image, query.method, query.target, query.model, serving.settings.image_limits
            )
            if as_png:
                return Response(saliency.png(), headers={"Vary": "Accept"}, media_type=PNG)
            body = saliency.answer().model_dump_json(exclude_none=True)
            return Response(body, headers={"Vary": "Accept"}, media_type=JSON)

        return await self._work(request, serving, read_image, work)

    async def embed(self, request: Request) -> Response:
        query = _read_query(request, ModelQuery)
        serving = self._ready()

        def work(image: bytes) -> Response:
            return _json(triage.embed(serving.models, image, query.model, serving.settings.image_limits))

        return await self._work(request, serving, read_image, work)

    async def duplicates(self, request: Request) -> Response:
        query = _read_query(request, DuplicatesQuery)
        serving = self._ready()

        def work(sides: tuple[Side, Side]) -> Response:
            limits = serving.settings.image_limits
            answer = comparison.duplicates(serving.models, *sides, query.model, query.threshold, query.explain, limits)
            # Not by null: an explanation says null of a side that was an embedding.
            return Response(answer.model_dump_json(exclude_unset=True), media_type=JSON)

        return await self._work(request, serving, read_pair, work, images=2)

    async def models(self, request: Request) -> Response:
        _refuse_query(request)
        return _json(triage.list_models(self._ready().models))

    async def livez(self, request: Request) -> Response:
        return _json(Health(status="alive"))

    async def readyz(self, request: Request) -> Response:
        self._ready()
        return _json(Health(status="ready"))

    async def metrics(self, request: Request) -> Response:
        return Response(metrics.exposition(), headers={"Content-Type": metrics.CONTENT_TYPE})

    async def docs(self, request: Request) -> Response:
        return Response(self._document, media_type=JSON)

    def _ready(self) -> Serving:
        if self._serving is None:
            raise Overloaded("The models are still being loaded and verified. Try again later.")
        return self._serving

    async def _work(
        self,
        request: Request,
        serving: Serving,
        read: Callable[[Request, Settings], Awaitable[T]],
        work: Callable[[T], Response],
        images: int = 1,
    ) -> Response:
        """Read up to so many images on the event loop and work on them in a thread, both within one deadline."""
        seconds = serving.settings.deadline_seconds
        deadline = asyncio.get_running_loop().time() + seconds
        serving.queue.refuse_if_full()
        try:
            with self._upload(images), metrics.timed("read"):
                async with asyncio.timeout_at(deadline):
                    sent = await read(request, serving.settings)
        except TimeoutError:
            raise DeadlineExceeded(
                f"The body took longer than {seconds:g} s to come in. Send a smaller file."
            ) from None
        return await serving.queue.run(lambda: work(sent), deadline)

    @contextmanager
    def _upload(self, images: int) -> Iterator[None]:
        """Bound the memory that bodies take which are still coming in."""
        if self._uploads + images > MAX_UPLOADS:
            raise Overloaded(f"{self._uploads} images are coming in, and {MAX_UPLOADS} may. Try again later.")
        self._uploads += images
        try:
            yield
        finally:
            self._uploads -= images


def _json(answer: BaseModel) -> Response:
    return Response(answer.model_dump_json(), media_type=JSON)


def _read_query(request: Request, schema: type[Query]) -> Query:
    """The query parameters as the schema has them. Raises MalformedRequest, which names what is wrong."""
    pairs = request.query_params.multi_items()
    known = tuple(schema.model_fields)
    for name, _ in pairs:
        if name not in known:
            raise MalformedRequest(
                f"There is no query parameter {name[:64]!r} here; this route takes {', '.join(known)}."
            )
    if len(dict(pairs)) < len(pairs):
        raise MalformedRequest("A query parameter is given twice. Send it once.")
    try:
        return schema.model_validate(dict(pairs))
    except ValidationError as error:
        first = error.errors()[0]
        value = str(first["input"])[:64]
        raise MalformedRequest(f"The query parameter {first['loc'][0]} is {value!r}: {first['msg']}.") from error


def _refuse_query(request: Request) -> None:
    if request.query_params:
        raise MalformedRequest("This route takes no query parameters. Send it without.")


def _prefers_png(accept: list[str]) -> bool:
    """Whether an Accept header wants the PNG more than JSON, which is the answer where it has no preference."""
    ranges: dict[str, float] = {}
    for item in ",".join(accept).split(","):
        media, *parameters = (part.strip().lower() for part in item.split(";"))
        quality = next((part[2:] for part in parameters if part.startswith("q=")), "1")
        try:
            ranges[media] = float(quality)
        except ValueError:
            ranges[media] = 0.0

    def quality_of(media: str) -> float:
        family = media.split("/")[0] + "/*"
        return next((ranges[each] for each in (media, family, "*/*") if each in ranges), 0.0)

    return quality_of(PNG) > quality_of(JSON)
