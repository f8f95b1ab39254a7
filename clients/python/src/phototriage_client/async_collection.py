"""A collection on the server, for asyncio."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterable, Callable, Iterable, Mapping
from typing import TypeAlias

from phototriage_client import collection_answers as answers
from phototriage_client import collection_calls as calls
from phototriage_client.async_sender import AsyncSender
from phototriage_client.bulk import Item, Photo
from phototriage_client.calls import Call
from phototriage_client.collection import Page, Photos, check_no_tags_of, embeddings_of, images_of, pairs
from phototriage_client.collection_calls import AddOptions, QueryOptions
from phototriage_client.embedding import Embedding
from phototriage_client.ids import Tags, check_file_name, check_name
from phototriage_client.side import SideSource, read_picture_aside, read_side_aside

AsyncPhotos: TypeAlias = Photos | AsyncIterable[tuple[str, SideSource]]


class AsyncCollection:
    """As `Collection`, whose words on ids and repeated calls hold here too. Files are read in a thread."""

    def __init__(self, sender: AsyncSender, name: str) -> None:
        """Made by `AsyncClient.collection`. Raises ValueError for a name that would lead elsewhere."""
        self.name = check_name(name)
        self._sender = sender

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.name!r})"

    async def create(self, *, model: str | None = None) -> answers.CollectionInfo:
        """Make it, if there is none of that name; one that is there stays as it is. `model`: name of the embedder.
        Raises ForeignCollection where the one that is there is of another."""
        return await self._sender.ask(calls.create(self.name, model))

    async def info(self) -> answers.CollectionInfo:
        """What is in it?"""
        return await self._sender.ask(calls.info(self.name))

    async def delete(self) -> answers.ChangedResponse:
        """With all its photos. Raises UnknownCollection where there is none."""
        return await self._sender.ask(calls.delete(self.name))

    async def add(
        self,
        photo: SideSource,
        id: str,
        *,
        tags: Tags = (),
        if_new: bool = False,
        threshold: float | None = None,
        min_probability: float | None = None,
    ) -> answers.AddResponse:
        """Add a photo; one that has this id is replaced. With `if_new` only if it is a duplicate of none that is there.

        Duplicates are those of `Client.duplicates`, with its `threshold` and `min_probability`."""
        options = AddOptions(tags, if_new, threshold, min_probability)
        return await self._sender.ask(calls.add(self.name, await read_side_aside(photo), id, options))

    async def add_batch(
        self,
        photos: Photos,
        *,
        tags: Tags = (),
        tags_of: Mapping[str, Tags] | None = None,
        if_new: bool = False,
        threshold: float | None = None,
        min_probability: float | None = None,
    ) -> answers.AddBatchResponse:
        """Add a few in one request, by their ids, within its limits and its deadline: all as images, or all as
        embeddings. `tags` are of all, `tags_of` of single ones among embeddings, by id. One that the server can't read
        never fails another. For many, and for images whose ids no file's name can be: `add_many`. Raises UnsendableId
        for the latter, UnreadableImage for what can't be read here, ValueError for a mixture."""
        options = AddOptions(tags, if_new, threshold, min_probability)
        given = [(id, source) for id, source in pairs(photos)]
        embeddings = embeddings_of(given)
        if embeddings is not None:
            return await self._sender.ask(calls.add_embeddings(self.name, embeddings, options, tags_of or {}))
        check_no_tags_of(tags_of)
        pictures = [(check_file_name(id), await read_picture_aside(image)) for id, image in images_of(given)]
        return await self._sender.ask(calls.add_batch(self.name, pictures, options))

    def add_many(
        self,
        photos: AsyncPhotos,
        *,
        tags: Tags = (),
        if_new: bool = False,
        threshold: float | None = None,
        min_probability: float | None = None,
        concurrency: int = 8,
    ) -> AsyncGenerator[Item[answers.AddResponse], None]:
        """Add photos by their ids, a request each: items as of `Client.triage_many`, each with its `id`. `tags` are of
        all. With `if_new`, which of two duplicates comes first is chance where both are asked about at once."""
        options = AddOptions(tags, if_new, threshold, min_probability)
        options.query()  # what is wrong with it is said at once

        async def prepare(photo: Photo) -> Call[answers.AddResponse]:
            return calls.add(self.name, await read_side_aside(photo.source), photo.id, options)

        return self._sender.ask_many(_given(photos), prepare, concurrency)

    async def query(
        self,
        photo: SideSource,
        *,
        top_k: int = 10,
        tags: Tags = (),
        id: str | None = None,
        threshold: float | None = None,
        min_probability: float | None = None,
    ) -> answers.CollectionQueryResponse:
        """Has this photo been here before, and what is like it? At most `top_k` photos, of those that have all `tags`.
        `id`: the photo's own, if it is in the collection, so that it isn't found itself."""
        options = QueryOptions(top_k, tags, id, threshold, min_probability)
        return await self._sender.ask(calls.query(self.name, await read_side_aside(photo), options))

    async def query_batch(
        self,
        photos: Iterable[SideSource] | Mapping[str, Embedding],
        *,
        top_k: int = 10,
        tags: Tags = (),
        threshold: float | None = None,
        min_probability: float | None = None,
    ) -> answers.QueryBatchResponse:
        """As `query` about a few in one request, all images or all embeddings; one never fails another. Embeddings of
        photos that are in the collection may come by their ids, so that they aren't found themselves."""
        options = QueryOptions(top_k, tags, None, threshold, min_probability)
        given = [*photos.items()] if isinstance(photos, Mapping) else [(None, source) for source in photos]
        embeddings = embeddings_of(given)
        if embeddings is not None:
            return await self._sender.ask(calls.query_embeddings(self.name, embeddings, options))
        pictures = [await read_picture_aside(image) for _, image in images_of(given)]
        return await self._sender.ask(calls.query_batch(self.name, pictures, options))

    async def photo(self, id: str, *, embedding: bool = False) -> answers.CollectionPhoto:
        """What is kept of a photo, on demand with its embedding. Raises UnknownPhoto."""
        return await self._sender.ask(calls.photo(self.name, id, embedding))

    async def delete_photo(self, id: str) -> answers.ChangedResponse:
        """Leave nothing of it. Raises UnknownPhoto."""
        return await self._sender.ask(calls.delete_photo(self.name, id))

    async def photos(self, *, tags: Tags = (), page_size: int | None = None) -> AsyncGenerator[str, None]:
        """The ids of all photos that have all `tags`, in the order in which they were added, asked for page by page."""
        async for page in self._pages(lambda after: calls.photos(self.name, after, page_size, tags)):
            for each in page.ids:
                yield each

    async def groups(
        self, *, limit_ids: int | None = None, page_size: int | None = None
    ) -> AsyncGenerator[answers.PhotoGroup, None]:
        """All groups of photos that are one another's duplicates, asked for page by page; of each group at most
        `limit_ids` ids, 100 where nothing is said. `group` lists them all."""
        async for page in self._pages(lambda after: calls.groups(self.name, after, page_size, limit_ids)):
            for each in page.groups:
                yield each

    async def group(self, group: str, *, page_size: int | None = None) -> AsyncGenerator[str, None]:
        """The ids of a group's photos, in the order in which they were added, asked for page by page. None, where there
        is no such group any more."""
        async for page in self._pages(lambda after: calls.group(self.name, group, after, page_size)):
            for each in page.ids:
                yield each

    async def not_duplicates(self, *, page_size: int | None = None) -> AsyncGenerator[answers.NotDuplicates, None]:
        """All pairs that are marked as no duplicates, asked for page by page."""
        async for page in self._pages(lambda after: calls.not_duplicates(self.name, after, page_size)):
            for each in page.pairs:
                yield each

    async def mark_not_duplicates(self, a: str, b: str) -> answers.ChangedResponse:
        """Remember that two photos, by their ids, are no duplicates, whatever they look like. Raises UnknownPhoto."""
        return await self._sender.ask(calls.mark_not_duplicates(self.name, a, b))

    async def unmark_not_duplicates(self, a: str, b: str) -> answers.ChangedResponse:
        """Forget that they are none."""
        return await self._sender.ask(calls.unmark_not_duplicates(self.name, a, b))

    async def _pages(self, call: Callable[[int | None], Call[Page]]) -> AsyncGenerator[Page, None]:
        after: int | None = None
        while True:
            page = await self._sender.ask(call(after))
            yield page
            if page.next is None:
                return
            after = page.next


def _given(photos: AsyncPhotos) -> Iterable[Photo] | AsyncIterable[Photo]:
    if isinstance(photos, AsyncIterable):
        return (Photo(id, source) async for id, source in photos)
    return (Photo(id, source) for id, source in pairs(photos))
