"""The handlers of the routes that answer all about a photo, or about several; each may ask a collection, too.

An answer says that all was done that was asked for. Where anything fails, nothing is answered but the error, and the
photo isn't added: that comes last.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial

from pydantic import BaseModel
from starlette.requests import Request
from starlette.responses import Response

from phototriage.collections.asking import Asking
from phototriage.collections.collection import in_turn
from phototriage.collections.photos import ids_of
from phototriage.collections.triage_schemas import (
    AskingQuery,
    BatchItem,
    BatchResponse,
    BatchTriageQuery,
    TriageQuery,
    TriageResponse,
)
from phototriage.common.errors import MalformedRequest, PhototriageError
from phototriage.server import drift
from phototriage.server.deadline import Deadline
from phototriage.server.error_responses import count_store_error
from phototriage.server.form import File
from phototriage.server.query import JSON, read_query
from phototriage.server.serving import Receive, Serving
from phototriage.triage import pipeline, schemas
from phototriage.triage.comparison import Thresholds
from phototriage.triage.pipeline import PipelineOutputs, Plan, TriageRequest
from phototriage.triage.problems import problem_of

Finish = Callable[[Plan, PipelineOutputs], Response]
Answer = Callable[[Request, TriageRequest, Finish], Awaitable[Response]]


class TriageApi:
    """admitted: gives what serves a request that may be served; answer: answers about one image, also from the
    cache."""

    def __init__(
        self,
        admitted: Callable[[Request], Serving],
        answer: Answer,
        receive_image: Receive[bytes],
        receive_images: Receive[list[File]],
    ) -> None:
        self._admitted, self._answer = admitted, answer
        self._receive_image, self._receive_images = receive_image, receive_images

    async def triage(self, request: Request) -> Response:
        query = read_query(request, TriageQuery)
        asked = request_of(query)
        if query.collection is None:
            return await self._answer(request, asked, _finish)
        serving = self._admitted(request)
        plan = pipeline.make_plan(serving.models, asked)
        deadline = Deadline(serving.settings.deadline_seconds)
        image = await self._receive_image(request, serving, deadline)

        def work() -> Response:  # its answer is never kept: the collection changes
            asking = _asking(serving, plan, query)
            return _json(_answer_about(plan, asking, query.id, image, serving, deadline, beside=True))

        return await serving.queue.run(work, deadline.on_loop)

    async def triage_batch(self, request: Request) -> Response:
        query = read_query(request, BatchTriageQuery)
        serving = self._admitted(request)
        plan = pipeline.make_plan(serving.models, request_of(query))
        deadline = Deadline(serving.settings.deadline_seconds)
        files = await self._receive_images(request, serving, deadline)
        asking = None
        if query.collection is not None:
            asking = await serving.queue.run(lambda: _asking(serving, plan, query), deadline.on_loop)
        ids = ids_of([file.name for file in files]) if query.add else [None] * len(files)
        works = [partial(_item, plan, asking, id, file, serving, deadline) for file, id in zip(files, ids, strict=True)]
        outcomes = await serving.queue.run_each(works, deadline.on_loop)
        results = []
        for index, (file, outcome) in enumerate(zip(files, outcomes, strict=True)):
            if isinstance(outcome, PhototriageError):
                results.append(BatchItem(index=index, filename=file.name, error=problem_of(outcome)))
            else:
                results.append(BatchItem(index=index, filename=file.name, **dict(outcome)))
        return _json(BatchResponse(results=results))


def request_of(query: schemas.TriageQuery) -> TriageRequest:
    """What is asked about the photo, but for the collection."""
    return TriageRequest(**{name: getattr(query, name) for name in schemas.TriageQuery.model_fields})


def _asking(serving: Serving, plan: Plan, query: AskingQuery) -> Asking:
    """Raises UnknownCollection, ForeignCollection, StoreUnavailable."""
    collection, model = serving.opened(query.collection or "", plan.embedder)
    bounds = Thresholds(query.threshold, query.min_probability)
    most = serving.settings.max_collection_photos
    return Asking(collection, model, query.tags or (), query.if_new, most, bounds)


def _item(
    plan: Plan,
    asking: Asking | None,
    id: str | MalformedRequest | None,
    file: File,
    serving: Serving,
    deadline: Deadline,
) -> TriageResponse | PhototriageError:
    """About one image of a batch. No error of one is raised, since that would take the others along."""
    try:
        if file.refused is not None:
            raise file.refused
        if isinstance(id, MalformedRequest):
            raise id
        return _answer_about(plan, asking, id, file.joined(), serving, deadline)
    except PhototriageError as error:
        count_store_error(error)
        return error


def _answer_about(
    plan: Plan,
    asking: Asking | None,
    id: str | None,
    image: bytes,
    serving: Serving,
    deadline: Deadline,
    beside: bool = False,
) -> TriageResponse:
    """beside: whether other threads may help."""
    whole = plan if asking is None else pipeline.asking(plan, asking.model)
    help_models = serving.queue.aside if beside else pipeline.in_turn
    outputs = pipeline.run_models(whole, image, serving.settings.image_limits, deadline.at, help_models)
    answer = pipeline.assemble(whole, outputs)
    part = None
    if asking is not None and outputs.asked is not None:
        aside = serving.queue.aside if beside else in_turn
        part = drift.count_collection_part(asking.part(outputs.asked, id, deadline.at, aside))
    drift.count_parts(answer)
    return TriageResponse(**dict(answer), collection=part)


def _finish(plan: Plan, outputs: PipelineOutputs) -> Response:
    answer = pipeline.assemble(plan, outputs)
    drift.count_parts(answer)
    return _json(answer)


def _json(answer: BaseModel) -> Response:
    return Response(answer.model_dump_json(exclude_none=True), media_type=JSON)
