"""The client for asyncio."""

from __future__ import annotations

import asyncio
import random as random_numbers
import ssl
from collections.abc import AsyncGenerator, AsyncIterable, Awaitable, Callable, Iterable, Mapping, Sequence
from functools import partial
from time import monotonic
from types import TracebackType
from typing import Self, TypeAlias, TypeVar

import httpx

from phototriage_client import answers, calls, collection_calls, connection
from phototriage_client.answers import Method, Part
from phototriage_client.async_collection import AsyncCollection
from phototriage_client.async_sender import AsyncSender
from phototriage_client.bulk import Item
from phototriage_client.calls import Call, TriageOptions, named, with_ids
from phototriage_client.collection_answers import CollectionsResponse
from phototriage_client.ids import Tags
from phototriage_client.picture import ImageSource, Picture
from phototriage_client.retry import ONCE, PATIENT, USUAL, Retry
from phototriage_client.side import SideSource, read_picture_aside, read_side_aside

T = TypeVar("T")

Images: TypeAlias = Iterable[ImageSource] | AsyncIterable[ImageSource]


class AsyncClient:
    """As `Client`, whose words on images and errors hold here too. Files are read and images encoded in a thread."""

    def __init__(
        self,
        url: str = "http://localhost:3000",
        *,
        api_key: str | None = None,
        timeout: float = connection.ANSWER_SECONDS,
        retry: Retry = USUAL,
        bulk_retry: Retry = PATIENT,
        verify: ssl.SSLContext | bool = True,
        transport: httpx.AsyncBaseTransport | None = None,
        clock: Callable[[], float] = monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        random: Callable[[], float] = random_numbers.random,
    ) -> None:
        """As of `Client`."""
        options = connection.options(url, api_key, timeout)
        http = httpx.AsyncClient(**options, verify=verify, transport=transport)
        self._sender = AsyncSender(http, timeout, retry, bulk_retry, clock, sleep, random)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connections; what waits for another attempt gives up after its pause."""
        await self._sender.close()

    async def classify(
        self, image: ImageSource, *, model: str | None = None, top_k: int | None = None
    ) -> answers.ClassifyResponse:
        """What is in this photo?"""
        return await self._sender.ask(calls.classify(await read_picture_aside(image), model, top_k))

    async def difficulty(
        self, image: ImageSource, *, model: str | None = None, label: str | None = None
    ) -> answers.DifficultyResponse:
        """How hard is it, and why? `label` is what the caller takes it for."""
        return await self._sender.ask(calls.difficulty(await read_picture_aside(image), model, label))

    async def embed(self, image: ImageSource, *, model: str | None = None) -> answers.EmbedResponse:
        """What is it to be known by?"""
        return await self._sender.ask(calls.embed(await read_picture_aside(image), model))

    async def duplicates(
        self,
        a: SideSource,
        b: SideSource,
        *,
        model: str | None = None,
        threshold: float | None = None,
        min_probability: float | None = None,
        explain: bool = False,
    ) -> answers.DuplicatesResponse:
        """Are these two one photo? An embedding of `embed` takes an image's place.

        The server lays one over the other, and they are duplicates from a probability of `min_probability` on, or the
        tuned one. With a `threshold` of the similarity, that decides alone, as it does where an embedding has no
        signature."""
        sides = await read_side_aside(a), await read_side_aside(b)
        return await self._sender.ask(calls.duplicates(*sides, model, threshold, min_probability, explain))

    async def duplicates_png(
        self,
        a: SideSource,
        b: SideSource,
        *,
        model: str | None = None,
        threshold: float | None = None,
        min_probability: float | None = None,
    ) -> bytes:
        """What the two have in common, drawn: both side by side, as the content of a PNG file. An embedding is drawn
        from its signature, grey; without one it is refused."""
        sides = await read_side_aside(a), await read_side_aside(b)
        return await self._sender.ask(calls.duplicates_png(*sides, model, threshold, min_probability))

    async def saliency(
        self,
        image: ImageSource,
        *,
        method: Method | None = None,
        target: str | None = None,
        model: str | None = None,
    ) -> answers.SaliencyResponse:
        """What did the model look at?"""
        return await self._sender.ask(calls.saliency(await read_picture_aside(image), method, target, model))

    async def saliency_png(
        self,
        image: ImageSource,
        *,
        method: Method | None = None,
        target: str | None = None,
        model: str | None = None,
    ) -> bytes:
        """The mask alone, as the content of an 8-bit grey PNG file of the upright image's size."""
        return await self._sender.ask(calls.saliency_png(await read_picture_aside(image), method, target, model))

    async def triage(
        self,
        image: ImageSource,
        *,
        include: Sequence[Part] | None = None,
        classifier: str | None = None,
        embedder: str | None = None,
        top_k: int | None = None,
        label: str | None = None,
        method: Method | None = None,
        target: str | None = None,
        collection: str | None = None,
        id: str | None = None,
        tags: Tags = (),
        if_new: bool = False,
        threshold: float | None = None,
        min_probability: float | None = None,
    ) -> answers.TriageResponse:
        """All of these at once, from one decode; without `include` classify, difficulty and embed.

        With a `collection`, that is asked about the photo, too; with an `id` the photo is added to it, as by
        `Collection.add`. An error says that it wasn't, but for DeadlineExceeded and lost answers: then ask again."""
        options = TriageOptions(
            include,
            classifier,
            embedder,
            top_k,
            label,
            method,
            target,
            collection=collection,
            id=id,
            tags=tags,
            if_new=if_new,
            threshold=threshold,
            min_probability=min_probability,
        )
        return await self._sender.ask(calls.triage(await read_picture_aside(image), options))

    async def triage_batch(
        self,
        images: Iterable[ImageSource] | Mapping[str, ImageSource],
        *,
        include: Sequence[Part] | None = None,
        classifier: str | None = None,
        embedder: str | None = None,
        top_k: int | None = None,
        label: str | None = None,
        method: Method | None = None,
        target: str | None = None,
        collection: str | None = None,
        add: bool = False,
        tags: Tags = (),
        if_new: bool = False,
        threshold: float | None = None,
        min_probability: float | None = None,
    ) -> answers.BatchResponse:
        """The same about a few images in one request, within its limits and its deadline. For many: `triage_many`.

        To `add` them to a collection, give images by their ids. Raises ValueError without such, and UnsendableId for an
        id that no file's name can be."""
        options = TriageOptions(
            include,
            classifier,
            embedder,
            top_k,
            label,
            method,
            target,
            collection=collection,
            add=add,
            tags=tags,
            if_new=if_new,
            threshold=threshold,
            min_probability=min_probability,
        )
        pictures = [named(await read_picture_aside(image), id) for id, image in with_ids(images, add)]
        return await self._sender.ask(calls.triage_batch(pictures, options))

    def classify_many(
        self, images: Images, *, model: str | None = None, top_k: int | None = None, concurrency: int = 8
    ) -> AsyncGenerator[Item[answers.ClassifyResponse], None]:
        """As `triage_many`."""
        return self._many(images, partial(calls.classify, model=model, top_k=top_k), concurrency)

    def difficulty_many(
        self, images: Images, *, model: str | None = None, concurrency: int = 8
    ) -> AsyncGenerator[Item[answers.DifficultyResponse], None]:
        """As `triage_many`."""
        return self._many(images, partial(calls.difficulty, model=model), concurrency)

    def embed_many(
        self, images: Images, *, model: str | None = None, concurrency: int = 8
    ) -> AsyncGenerator[Item[answers.EmbedResponse], None]:
        """As `triage_many`."""
        return self._many(images, partial(calls.embed, model=model), concurrency)

    def saliency_many(
        self,
        images: Images,
        *,
        method: Method | None = None,
        target: str | None = None,
        model: str | None = None,
        concurrency: int = 8,
    ) -> AsyncGenerator[Item[answers.SaliencyResponse], None]:
        """As `triage_many`."""
        return self._many(images, partial(calls.saliency, method=method, target=target, model=model), concurrency)

    def triage_many(
        self,
        images: Images,
        *,
        include: Sequence[Part] | None = None,
        classifier: str | None = None,
        embedder: str | None = None,
        top_k: int | None = None,
        method: Method | None = None,
        concurrency: int = 8,
    ) -> AsyncGenerator[Item[answers.TriageResponse], None]:
        """An item an image, in their order, with an answer or an error; one never stops the others.

        A request each, `concurrency` at once. At most twice so many images are taken ahead of the items, so `images`
        may be endless; they may come by `async for`, too. Leave the loop early within `contextlib.aclosing`.
        """
        options = TriageOptions(include, classifier, embedder, top_k, method=method)
        return self._many(images, partial(calls.triage, options=options), concurrency)

    async def models(self) -> answers.ModelsResponse:
        """Which models are served?"""
        return await self._sender.ask(calls.models())

    async def reload(self) -> answers.ReloadResponse:
        """Have the server take up what has changed in its models directory. It is repeated only where the server can't
        have begun."""
        return await self._sender.ask(calls.reload())

    async def live(self) -> answers.Health:
        """Does the process answer? Asked once."""
        return await self._sender.ask(calls.live(), ONCE)

    async def ready(self) -> answers.Health:
        """Are the models ready? Asked once; raises Overloaded where they aren't."""
        return await self._sender.ask(calls.ready(), ONCE)

    async def wait_until_ready(self, seconds: float = 60.0) -> answers.Health:
        """Ask until they are; raises what was wrong last."""
        return await self._sender.ask(calls.ready(), Retry(PATIENT.attempts, seconds, most_seconds=1.0))

    async def metrics(self) -> str:
        """In Prometheus's text format."""
        return await self._sender.ask(calls.metrics())

    def collection(self, name: str) -> AsyncCollection:
        """A handle, for which nothing is asked: the collection needn't be there yet. Raises ValueError for a name that
        would lead elsewhere."""
        return AsyncCollection(self._sender, name)

    async def collections(self) -> CollectionsResponse:
        """Which collections are there?"""
        return await self._sender.ask(collection_calls.collections())

    def _many(
        self, images: Images, call: Callable[[Picture], Call[T]], concurrency: int
    ) -> AsyncGenerator[Item[T], None]:
        async def prepare(image: ImageSource) -> Call[T]:
            return call(await read_picture_aside(image))

        return self._sender.ask_many(images, prepare, concurrency)
