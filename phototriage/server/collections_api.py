"""The handlers of collections' routes."""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import suppress

from pydantic import BaseModel
from starlette.requests import Request
from starlette.responses import Response

from phototriage.collections import schemas
from phototriage.collections.catalogue import is_of
from phototriage.collections.collection import Collection
from phototriage.collections.photos import group_of
from phototriage.collections.store import Page
from phototriage.common.errors import StoreUnavailable, UnknownCollection
from phototriage.server import drift
from phototriage.server.deadline import Deadline
from phototriage.server.query import JSON, read_query, refuse_query
from phototriage.server.serving import Receive, Serving
from phototriage.triage import embedding
from phototriage.triage.comparison import Side, Thresholds, embedded
from phototriage.triage.schemas import ModelName

logger = logging.getLogger(__name__)


class CollectionsApi:
    """admitted: gives what serves a request that may be served."""

    def __init__(self, admitted: Callable[[Request], Serving], receive_photo: Receive[Side]) -> None:
        self._admitted, self._receive_photo = admitted, receive_photo

    async def collections(self, request: Request) -> Response:
        serving = self._admitted(request)
        refuse_query(request)

        def work() -> Response:
            catalogue = serving.kept
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
            created = serving.kept.create(name, serving.models.embedder(query.model))
            return _json(info(serving, created.collection))

        return await _run(serving, work)

    async def collection(self, request: Request) -> Response:
        refuse_query(request)
        return await self._ask(request, lambda serving, collection: info(serving, collection))

    async def delete_collection(self, request: Request) -> Response:
        refuse_query(request)
        serving = self._admitted(request)

        def work() -> Response:
            serving.kept.delete(request.path_params["collection"])
            return _json(schemas.ChangedResponse(changed=True))

        return await _run(serving, work)

    async def collection_photos(self, request: Request) -> Response:
        query = read_query(request, schemas.PhotosQuery)

        def ask(_: Serving, collection: Collection) -> schemas.IdsResponse:
            page = collection.store.list_photos(query.after, query.limit, query.tags or ())
            return schemas.IdsResponse(ids=[name for (name,) in page.items], next=page.after)

        return await self._ask(request, ask)

    async def collection_groups(self, request: Request) -> Response:
        query = read_query(request, schemas.GroupsQuery)

        def ask(_: Serving, collection: Collection) -> schemas.GroupsResponse:
            page: Page = collection.store.list_groups(query.after, query.limit, query.limit_ids)
            groups = [
                schemas.PhotoGroup(group=group, photos=int(photos), ids=list(ids)) for group, photos, *ids in page.items
            ]
            return schemas.GroupsResponse(groups=groups, next=page.after)

        return await self._ask(request, ask)

    async def collection_group(self, request: Request) -> Response:
        query = read_query(request, schemas.PageQuery)
        group = group_of(request.path_params["group"])

        def ask(_: Serving, collection: Collection) -> schemas.IdsResponse:
            page = collection.store.list_photos(query.after, query.limit, (), group)
            return schemas.IdsResponse(ids=[name for (name,) in page.items], next=page.after)

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
            collection, model = serving.opened(request.path_params["collection"])
            image = embedded(model, side, serving.settings.image_limits, deadline.at)
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
            collection, model = serving.opened(request.path_params["collection"])
            image = embedded(model, side, serving.settings.image_limits, deadline.at)
            thresholds, aside = Thresholds(query.threshold, query.min_probability), serving.queue.aside
            most, tags = serving.settings.max_collection_photos, query.tags or ()
            told = collection.add(model, image, query.id, tags, query.if_new, most, thresholds, deadline.at, aside)
            return _json(drift.count_addition(told))

        return await serving.queue.run(work, deadline.on_loop)

    async def _ask(self, request: Request, ask: Callable[[Serving, Collection], BaseModel]) -> Response:
        """An answer that needs no model."""
        serving = self._admitted(request)

        def work() -> Response:
            return _json(ask(serving, serving.kept.get(request.path_params["collection"])))

        return await _run(serving, work)


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
