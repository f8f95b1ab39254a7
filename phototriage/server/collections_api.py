"""The handlers of collections' routes."""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Protocol, TypeVar

from pydantic import BaseModel
from starlette.requests import Request
from starlette.responses import Response

from phototriage.collections import schemas
from phototriage.collections.catalogue import Catalogue, embedder_of, is_of
from phototriage.collections.collection import Collection
from phototriage.collections.photos import check_id
from phototriage.collections.store import Page
from phototriage.common.errors import MalformedRequest, PhototriageError, StoreUnavailable, UnknownCollection
from phototriage.common.metrics import timed
from phototriage.images.pixels import decode_for, resize
from phototriage.models.embedder import Embedder
from phototriage.server import drift
from phototriage.server.deadline import Deadline
from phototriage.server.error_responses import count_store_error
from phototriage.server.form import File
from phototriage.server.query import JSON, read_query, refuse_query
from phototriage.server.serving import Serving
from phototriage.triage import embedding
from phototriage.triage.comparison import Side, Thresholds, decode_embedding, embedded_image
from phototriage.triage.embedding import EmbeddedImage
from phototriage.triage.problems import problem_of
from phototriage.triage.schemas import ModelName

T = TypeVar("T", covariant=True)

logger = logging.getLogger(__name__)


class Receive(Protocol[T]):
    """Reads what a request brings, within its deadline."""

    async def __call__(self, request: Request, serving: Serving, deadline: Deadline) -> T: ...


class CollectionsApi:
    """admitted: gives what serves a request that may be served."""

    def __init__(
        self,
        admitted: Callable[[Request], Serving],
        receive_photo: Receive[Side],
        receive_images: Receive[list[File]],
    ) -> None:
        self._admitted = admitted
        self._receive_photo, self._receive_images = receive_photo, receive_images

    async def collections(self, request: Request) -> Response:
        serving = self._admitted(request)
        refuse_query(request)

        def work() -> Response:
            catalogue = kept_by(serving)
            infos = []
            for name in catalogue.names():
                with suppress(UnknownCollection):  # deleted since
                    try:
                        infos.append(info(serving, catalogue.get(name)))
                    except StoreUnavailable as error:  # it says so itself, when it is asked
                        logger.warning("A collection is left out of the list: %s", error.detail)
            return _json(schemas.CollectionsResponse(collections=infos))

        return await _run(serving, work)

    async def create_collection(self, request: Request) -> Response:
        query = read_query(request, schemas.CreateQuery)
        serving = self._admitted(request)
        name = request.path_params["collection"]

        def work() -> Response:
            created = kept_by(serving).create(name, serving.models.embedder(query.model))
            return _json(info(serving, created.collection))

        return await _run(serving, work)

    async def collection(self, request: Request) -> Response:
        refuse_query(request)
        return await self._ask(request, lambda serving, collection: info(serving, collection))

    async def delete_collection(self, request: Request) -> Response:
        refuse_query(request)
        serving = self._admitted(request)

        def work() -> Response:
            kept_by(serving).delete(request.path_params["collection"])
            return _json(schemas.ChangedResponse(changed=True))

        return await _run(serving, work)

    async def collection_photos(self, request: Request) -> Response:
        query = read_query(request, schemas.PhotosQuery)

        def ask(_: Serving, collection: Collection) -> schemas.IdsResponse:
            page = collection.store.list_photos(query.after, query.limit, query.tags or ())
            return schemas.IdsResponse(ids=[name for (name,) in page.items], next=page.after)

        return await self._ask(request, ask)

    async def collection_groups(self, request: Request) -> Response:
        query = read_query(request, schemas.PageQuery)

        def ask(_: Serving, collection: Collection) -> schemas.GroupsResponse:
            page: Page = collection.store.list_groups(query.after, query.limit)
            groups = [schemas.PhotoGroup(group=group, ids=list(ids)) for group, *ids in page.items]
            return schemas.GroupsResponse(groups=groups, next=page.after)

        return await self._ask(request, ask)

    async def not_duplicates(self, request: Request) -> Response:
        query = read_query(request, schemas.PageQuery)

        def ask(_: Serving, collection: Collection) -> schemas.NotDuplicatesResponse:
            page = collection.store.list_marked(query.after, query.limit)
            pairs = [schemas.NotDuplicates(a=a, b=b) for a, b in page.items]
            return schemas.NotDuplicatesResponse(pairs=pairs, next=page.after)

        return await self._ask(request, ask)

    async def mark_not_duplicates(self, request: Request) -> Response:
        query = read_query(request, schemas.PairQuery)
        return await self._ask(
            request, lambda _, collection: schemas.ChangedResponse(changed=collection.mark(query.a, query.b))
        )

    async def unmark_not_duplicates(self, request: Request) -> Response:
        query = read_query(request, schemas.PairQuery)
        return await self._ask(
            request, lambda _, collection: schemas.ChangedResponse(changed=collection.unmark(query.a, query.b))
        )

    async def collection_photo(self, request: Request) -> Response:
        query = read_query(request, schemas.PhotoQuery)

        def ask(_: Serving, collection: Collection) -> schemas.CollectionPhoto:
            kept = collection.photo(request.path_params["id"])
            of = collection.store.description.model
            name = ModelName(name=of.name, version=of.version)
            return schemas.CollectionPhoto(
                id=kept.id,
                tags=list(kept.tags),
                group=str(kept.group),
                added_at=kept.added_at,
                embedding=embedding.encode(kept.vector, name, kept.signature) if query.embedding else None,
            )

        return await self._ask(request, ask)

    async def delete_photo(self, request: Request) -> Response:
        refuse_query(request)

        def ask(_: Serving, collection: Collection) -> schemas.ChangedResponse:
            collection.delete(request.path_params["id"])
            return schemas.ChangedResponse(changed=True)

        return await self._ask(request, ask)

    async def query_collection(self, request: Request) -> Response:
        query = read_query(request, schemas.CollectionQuery)
        serving = self._admitted(request)
        deadline = Deadline(serving.settings.deadline_seconds)
        side = await self._receive_photo(request, serving, deadline)

        def work() -> Response:
            collection, model = opened(serving, request)
            image = embedded(model, side, serving, deadline)
            thresholds, aside = Thresholds(query.threshold, query.min_probability), serving.queue.aside
            found = collection.query(
                model, image, query.id, query.tags or (), query.top_k, thresholds, deadline.at, aside
            )
            return _json(drift.count_query(found))

        return await serving.queue.run(work, deadline.on_loop)

    async def add_photo(self, request: Request) -> Response:
        query = read_query(request, schemas.AddQuery)
        serving = self._admitted(request)
        deadline = Deadline(serving.settings.deadline_seconds)
        side = await self._receive_photo(request, serving, deadline)

        def work() -> Response:
            collection, model = opened(serving, request)
            image = embedded(model, side, serving, deadline)
            return _json(add(serving, collection, model, image, query.id, query, deadline))

        return await serving.queue.run(work, deadline.on_loop)

    async def add_photos(self, request: Request) -> Response:
        query = read_query(request, schemas.AddBatchQuery)
        serving = self._admitted(request)
        deadline = Deadline(serving.settings.deadline_seconds)
        files = await self._receive_images(request, serving, deadline)
        collection, model = await serving.queue.run(lambda: opened(serving, request), deadline.on_loop)
        names = [file.name for file in files]
        works = [
            partial(self._add_file, serving, collection, model, file, file.name in names[:place], query, deadline)
            for place, file in enumerate(files)
        ]
        outcomes = await serving.queue.run_each(works, deadline.on_loop)
        items = []
        for index, (file, outcome) in enumerate(zip(files, outcomes, strict=True)):
            error = problem_of(outcome) if isinstance(outcome, PhototriageError) else None
            result = outcome if isinstance(outcome, schemas.AddResponse) else None
            items.append(schemas.AddBatchItem(index=index, id=file.name, result=result, error=error))
        return _json(schemas.AddBatchResponse(results=items))

    @staticmethod
    def _add_file(
        serving: Serving,
        collection: Collection,
        model: Embedder,
        file: File,
        is_again: bool,
        query: schemas.AddBatchQuery,
        deadline: Deadline,
    ) -> schemas.AddResponse | PhototriageError:
        """No error of one is raised, since that would take the others along."""
        try:
            if file.refused is not None:
                raise file.refused
            name = check_id(file.name)
            if is_again:
                raise MalformedRequest(f"Two files are called {name[:80]!r}; one would replace the other. Rename one.")
            image = embedded(model, Side("image", "image", file.joined()), serving, deadline)
            return add(serving, collection, model, image, name, query, deadline)
        except PhototriageError as error:
            count_store_error(error)
            return error

    async def _ask(self, request: Request, ask: Callable[[Serving, Collection], BaseModel]) -> Response:
        """An answer that needs no model."""
        serving = self._admitted(request)

        def work() -> Response:
            return _json(ask(serving, kept_by(serving).get(request.path_params["collection"])))

        return await _run(serving, work)


def add(
    serving: Serving,
    collection: Collection,
    model: Embedder,
    image: EmbeddedImage,
    name: str,
    query: schemas.AddQuery | schemas.AddBatchQuery,
    deadline: Deadline,
) -> schemas.AddResponse:
    thresholds = Thresholds(query.threshold, query.min_probability)
    most = serving.settings.max_collection_photos
    aside = serving.queue.aside
    tags = query.tags or ()
    return drift.count_addition(
        collection.add(model, image, name, tags, query.if_new, most, thresholds, deadline.at, aside)
    )


def kept_by(serving: Serving) -> Catalogue:
    """Raises UnknownCollection where the server keeps none."""
    if serving.catalogue is None:
        raise UnknownCollection(
            "This server keeps no collections. Start it with PHOTOTRIAGE_COLLECTIONS=FOLDER, where it may write."
        )
    return serving.catalogue


def opened(serving: Serving, request: Request) -> tuple[Collection, Embedder]:
    """The collection that a request names, and the embedder of its photos."""
    collection = kept_by(serving).get(request.path_params["collection"])
    return collection, embedder_of(collection, serving.embedders())


def embedded(model: Embedder, side: Side, serving: Serving, deadline: Deadline) -> EmbeddedImage:
    """What is compared of what was sent, an image or an embedding."""
    if side.kind == "embedding":
        return decode_embedding(model, side.content)
    with timed("decode"):
        upright = decode_for(side.content, [model.manifest.input], serving.settings.image_limits)
        pixels = resize(upright, model.manifest.input).pixels
    with timed("model"):
        (vector,) = model.embed(pixels[None], deadline.at)
    return embedded_image(model, vector, upright)


def info(serving: Serving, collection: Collection) -> schemas.CollectionInfo:
    description, counts = collection.store.description, collection.store.counts()
    of = description.model
    return schemas.CollectionInfo(
        name=description.name,
        model=ModelName(name=of.name, version=of.version),
        served=any(is_of(of, model) for model in serving.embedders()),
        verifies=of.verifies,
        created_at=description.created_at,
        **counts._asdict(),
    )


async def _run(serving: Serving, work: Callable[[], Response]) -> Response:
    return await serving.queue.run(work, Deadline(serving.settings.deadline_seconds).on_loop)


def _json(answer: BaseModel) -> Response:
    return Response(answer.model_dump_json(exclude_none=True), media_type=JSON)
