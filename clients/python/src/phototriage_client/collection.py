"""A collection on the server: photos that came in, kept and compared with each new one."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from typing import TypeAlias, TypeVar

from phototriage_client import collection_answers as answers
from phototriage_client import collection_calls as calls
from phototriage_client.bulk import Item, Photo
from phototriage_client.calls import Call
from phototriage_client.collection_calls import AddOptions, QueryOptions
from phototriage_client.embedding import Embedding
from phototriage_client.ids import Tags, check_file_name, check_name
from phototriage_client.picture import ImageSource, read_picture
from phototriage_client.sender import Sender
from phototriage_client.side import SideSource, read_side

Given = TypeVar("Given")
Id = TypeVar("Id", str, str | None)
Page = TypeVar("Page", answers.IdsResponse, answers.GroupsResponse, answers.NotDuplicatesResponse)

Photos: TypeAlias = Mapping[str, SideSource] | Iterable[tuple[str, SideSource]]


class Collection:
    """Of a `Client`, whose words on images and errors hold here too. An embedding of `embed`, of the collection's own
    model, takes an image's place.

    A photo's id is any text without control characters, up to 512 of them. What would be told to the server as another
    id raises UnsendableId, before anything is sent.

    After a failure every call is made again, as `retry` says. None does harm twice; but where an answer was lost, the
    repeated call may tell what is so already: `add` answers `unchanged` for a photo that this call added. Deletions and
    marks answer `changed` then, if it is so now, since most likely the lost attempt has done it.
    """

    def __init__(self, sender: Sender, name: str) -> None:
        """Made by `Client.collection`. Raises ValueError for a name that would lead elsewhere."""
        self.name = check_name(name)
        self._sender = sender

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.name!r})"

    def create(self, *, model: str | None = None) -> answers.CollectionInfo:
        """Make it, if there is none of that name; one that is there stays as it is. `model`: name of the embedder.
        Raises ForeignCollection where the one that is there is of another."""
        return self._sender.ask(calls.create(self.name, model))

    def info(self) -> answers.CollectionInfo:
        """What is in it?"""
        return self._sender.ask(calls.info(self.name))

    def delete(self) -> answers.ChangedResponse:
        """With all its photos. Raises UnknownCollection where there is none."""
        return self._sender.ask(calls.delete(self.name))

    def add(
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
        return self._sender.ask(calls.add(self.name, read_side(photo), id, options))

    def add_batch(
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
            return self._sender.ask(calls.add_embeddings(self.name, embeddings, options, tags_of or {}))
        check_no_tags_of(tags_of)
        pictures = [(check_file_name(id), read_picture(image)) for id, image in images_of(given)]
        return self._sender.ask(calls.add_batch(self.name, pictures, options))

    def add_many(
        self,
        photos: Photos,
        *,
        tags: Tags = (),
        if_new: bool = False,
        threshold: float | None = None,
        min_probability: float | None = None,
        concurrency: int = 8,
    ) -> Generator[Item[answers.AddResponse], None, None]:
        """Add photos by their ids, a request each: items as of `Client.triage_many`, each with its `id`. `tags` are of
        all. With `if_new`, which of two duplicates comes first is chance where both are asked about at once."""
        options = AddOptions(tags, if_new, threshold, min_probability)
        options.query()  # what is wrong with it is said at once

        def prepare(photo: Photo) -> Call[answers.AddResponse]:
            return calls.add(self.name, read_side(photo.source), photo.id, options)

        given = (Photo(id, source) for id, source in pairs(photos))
        return self._sender.ask_many(given, prepare, concurrency)

    def query(
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
        return self._sender.ask(calls.query(self.name, read_side(photo), options))

    def query_batch(
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
            return self._sender.ask(calls.query_embeddings(self.name, embeddings, options))
        pictures = [read_picture(image) for _, image in images_of(given)]
        return self._sender.ask(calls.query_batch(self.name, pictures, options))

    def photo(self, id: str, *, embedding: bool = False) -> answers.CollectionPhoto:
        """What is kept of a photo, on demand with its embedding. Raises UnknownPhoto."""
        return self._sender.ask(calls.photo(self.name, id, embedding))

    def delete_photo(self, id: str) -> answers.ChangedResponse:
        """Leave nothing of it. Raises UnknownPhoto."""
        return self._sender.ask(calls.delete_photo(self.name, id))

    def photos(self, *, tags: Tags = (), page_size: int | None = None) -> Generator[str, None, None]:
        """The ids of all photos that have all `tags`, in the order in which they were added, asked for page by page."""
        for page in self._pages(lambda after: calls.photos(self.name, after, page_size, tags)):
            yield from page.ids

    def groups(
        self, *, limit_ids: int | None = None, page_size: int | None = None
    ) -> Generator[answers.PhotoGroup, None, None]:
        """All groups of photos that are one another's duplicates, asked for page by page; of each group at most
        `limit_ids` ids, 100 where nothing is said. `group` lists them all."""
        for page in self._pages(lambda after: calls.groups(self.name, after, page_size, limit_ids)):
            yield from page.groups

    def group(self, group: str, *, page_size: int | None = None) -> Generator[str, None, None]:
        """The ids of a group's photos, in the order in which they were added, asked for page by page. None, where there
        is no such group any more."""
        for page in self._pages(lambda after: calls.group(self.name, group, after, page_size)):
            yield from page.ids

    def not_duplicates(self, *, page_size: int | None = None) -> Generator[answers.NotDuplicates, None, None]:
        """All pairs that are marked as no duplicates, asked for page by page."""
        for page in self._pages(lambda after: calls.not_duplicates(self.name, after, page_size)):
            yield from page.pairs

    def mark_not_duplicates(self, a: str, b: str) -> answers.ChangedResponse:
        """Remember that two photos, by their ids, are no duplicates, whatever they look like. Raises UnknownPhoto."""
        return self._sender.ask(calls.mark_not_duplicates(self.name, a, b))

    def unmark_not_duplicates(self, a: str, b: str) -> answers.ChangedResponse:
        """Forget that they are none."""
        return self._sender.ask(calls.unmark_not_duplicates(self.name, a, b))

    def _pages(self, call: Callable[[int | None], Call[Page]]) -> Generator[Page, None, None]:
        after: int | None = None
        while True:
            page = self._sender.ask(call(after))
            yield page
            if page.next is None:
                return
            after = page.next


def pairs(photos: Mapping[str, Given] | Iterable[tuple[str, Given]]) -> Iterable[tuple[str, Given]]:
    """Ids with their photos."""
    return photos.items() if isinstance(photos, Mapping) else photos


def embeddings_of(photos: Sequence[tuple[Id, SideSource]]) -> list[tuple[Id, Embedding]] | None:
    """The embeddings, if there are nothing but such. Raises ValueError for a mixture."""
    found = [(id, source) for id, source in photos if isinstance(source, Embedding)]
    if found and len(found) < len(photos):
        raise ValueError(
            f"a batch has images or embeddings, and {len(found)} of {len(photos)} photos are embeddings: send two"
        )
    return found or None


def images_of(photos: Sequence[tuple[Id, SideSource]]) -> list[tuple[Id, ImageSource]]:
    return [(id, source) for id, source in photos if not isinstance(source, Embedding)]


def check_no_tags_of(tags_of: Mapping[str, Tags] | None) -> None:
    """Raises ValueError."""
    if tags_of:
        raise ValueError("a form has no place for tags of single images: send embeddings, or use `add`")
