"""The client for threads. It may be shared by them."""

from __future__ import annotations

import random as random_numbers
import ssl
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from functools import partial
from time import monotonic
from types import TracebackType
from typing import Self, TypeVar

import httpx

from phototriage_client import answers, calls, collection_calls, connection
from phototriage_client.answers import Method, Part
from phototriage_client.bulk import Item
from phototriage_client.calls import Call, TriageOptions, named, with_ids
from phototriage_client.collection import Collection
from phototriage_client.collection_answers import CollectionsResponse
from phototriage_client.ids import Tags
from phototriage_client.picture import ImageSource, Picture, read_picture
from phototriage_client.retry import ONCE, PATIENT, USUAL, Retry
from phototriage_client.sender import Sender
from phototriage_client.side import SideSource, read_side

T = TypeVar("T")


class Client:
    """Asks a Phototriage server. Every method raises `ClientError`: `Problem` where the server refuses,
    `ConnectionFailed` or `TimedOut` where no answer comes, `UnreadableImage` where an image can't be read here.

    Images are bytes, a path, a file opened for binary reading, a Pillow image, or a NumPy array uint8 (H, W),
    (H, W, 3) RGB or (H, W, 4) RGBA; the latter two are sent as PNG, without loss.
    """

    def __init__(
        self,
        url: str = "http://localhost:3000",
        *,
        api_key: str | None = None,
        timeout: float = connection.ANSWER_SECONDS,
        retry: Retry = USUAL,
        bulk_retry: Retry = PATIENT,
        verify: ssl.SSLContext | bool = True,
        transport: httpx.BaseTransport | None = None,
        clock: Callable[[], float] = monotonic,
        sleep: Callable[[float], None] | None = None,
        random: Callable[[], float] = random_numbers.random,
    ) -> None:
        """`timeout` is in seconds, for each attempt, and should be above the server's deadline. `retry` is for single
        calls, `bulk_retry` for each image of many. `clock`, `sleep` and `random` are what retries go by."""
        options = connection.options(url, api_key, timeout)
        http = httpx.Client(**options, verify=verify, transport=transport)
        self._sender = Sender(http, timeout, retry, bulk_retry, clock, sleep, random)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections; what waits for another attempt gives up."""
        self._sender.close()

    def classify(
        self, image: ImageSource, *, model: str | None = None, top_k: int | None = None
    ) -> answers.ClassifyResponse:
        """What is in this photo?"""
        return self._sender.ask(calls.classify(read_picture(image), model, top_k))

    def difficulty(
        self, image: ImageSource, *, model: str | None = None, label: str | None = None
    ) -> answers.DifficultyResponse:
        """How hard is it, and why? `label` is what the caller takes it for."""
        return self._sender.ask(calls.difficulty(read_picture(image), model, label))

    def embed(self, image: ImageSource, *, model: str | None = None) -> answers.EmbedResponse:
        """What is it to be known by?"""
        return self._sender.ask(calls.embed(read_picture(image), model))

    def duplicates(
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
        sides = read_side(a), read_side(b)
        return self._sender.ask(calls.duplicates(*sides, model, threshold, min_probability, explain))

    def duplicates_png(
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
        sides = read_side(a), read_side(b)
        return self._sender.ask(calls.duplicates_png(*sides, model, threshold, min_probability))

    def saliency(
        self,
        image: ImageSource,
        *,
        method: Method | None = None,
        target: str | None = None,
        model: str | None = None,
    ) -> answers.SaliencyResponse:
        """What did the model look at?"""
        return self._sender.ask(calls.saliency(read_picture(image), method, target, model))

    def saliency_png(
        self,
        image: ImageSource,
        *,
        method: Method | None = None,
        target: str | None = None,
        model: str | None = None,
    ) -> bytes:
        """The mask alone, as the content of an 8-bit grey PNG file of the upright image's size."""
        return self._sender.ask(calls.saliency_png(read_picture(image), method, target, model))

    def triage(
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
        return self._sender.ask(calls.triage(read_picture(image), options))

    def triage_batch(
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
        pictures = [named(read_picture(image), id) for id, image in with_ids(images, add)]
        return self._sender.ask(calls.triage_batch(pictures, options))

    def classify_many(
        self, images: Iterable[ImageSource], *, model: str | None = None, top_k: int | None = None, concurrency: int = 8
    ) -> Generator[Item[answers.ClassifyResponse], None, None]:
        """As `triage_many`."""
        return self._many(images, partial(calls.classify, model=model, top_k=top_k), concurrency)

    def difficulty_many(
        self, images: Iterable[ImageSource], *, model: str | None = None, concurrency: int = 8
    ) -> Generator[Item[answers.DifficultyResponse], None, None]:
        """As `triage_many`."""
        return self._many(images, partial(calls.difficulty, model=model), concurrency)

    def embed_many(
        self, images: Iterable[ImageSource], *, model: str | None = None, concurrency: int = 8
    ) -> Generator[Item[answers.EmbedResponse], None, None]:
        """As `triage_many`."""
        return self._many(images, partial(calls.embed, model=model), concurrency)

    def saliency_many(
        self,
        images: Iterable[ImageSource],
        *,
        method: Method | None = None,
        target: str | None = None,
        model: str | None = None,
        concurrency: int = 8,
    ) -> Generator[Item[answers.SaliencyResponse], None, None]:
        """As `triage_many`."""
        return self._many(images, partial(calls.saliency, method=method, target=target, model=model), concurrency)

    def triage_many(
        self,
        images: Iterable[ImageSource],
        *,
        include: Sequence[Part] | None = None,
        classifier: str | None = None,
        embedder: str | None = None,
        top_k: int | None = None,
        method: Method | None = None,
        concurrency: int = 8,
    ) -> Generator[Item[answers.TriageResponse], None, None]:
        """An item an image, in their order, with an answer or an error; one never stops the others.

        A request each, `concurrency` at once. At most twice so many images are taken ahead of the items, so `images`
        may be endless; they are taken in the caller's thread.
        """
        options = TriageOptions(include, classifier, embedder, top_k, method=method)
        return self._many(images, partial(calls.triage, options=options), concurrency)

    def models(self) -> answers.ModelsResponse:
        """Which models are served?"""
        return self._sender.ask(calls.models())

    def reload(self) -> answers.ReloadResponse:
        """Have the server take up what has changed in its models directory. It is repeated only where the server can't
        have begun."""
        return self._sender.ask(calls.reload())

    def live(self) -> answers.Health:
        """Does the process answer? Asked once."""
        return self._sender.ask(calls.live(), ONCE)

    def ready(self) -> answers.Health:
        """Are the models ready? Asked once; raises Overloaded where they aren't."""
        return self._sender.ask(calls.ready(), ONCE)

    def wait_until_ready(self, seconds: float = 60.0) -> answers.Health:
        """Ask until they are; raises what was wrong last."""
        return self._sender.ask(calls.ready(), Retry(PATIENT.attempts, seconds, most_seconds=1.0))

    def metrics(self) -> str:
        """In Prometheus's text format."""
        return self._sender.ask(calls.metrics())

    def collection(self, name: str) -> Collection:
        """A handle, for which nothing is asked: the collection needn't be there yet. Raises ValueError for a name that
        would lead elsewhere."""
        return Collection(self._sender, name)

    def collections(self) -> CollectionsResponse:
        """Which collections are there?"""
        return self._sender.ask(collection_calls.collections())

    def _many(
        self, images: Iterable[ImageSource], call: Callable[[Picture], Call[T]], concurrency: int
    ) -> Generator[Item[T], None, None]:
        return self._sender.ask_many(images, lambda image: call(read_picture(image)), concurrency)
