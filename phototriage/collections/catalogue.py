"""The collections that a server keeps, wherever it keeps them, and which embedder is a collection's."""

from __future__ import annotations

from typing import NamedTuple, Protocol

from phototriage.collections.collection import Collection
from phototriage.collections.store import Description
from phototriage.common.errors import ForeignCollection, TooLarge, UnknownCollection
from phototriage.index.folder import IndexedModel
from phototriage.models.embedder import Embedder


class Created(NamedTuple):
    """is_new: whether there was none of that name."""

    collection: Collection
    is_new: bool


class Catalogue(Protocol):
    """Collections by name. Any number of threads may use it. Raises StoreUnavailable where it can't be reached."""

    def names(self) -> list[str]:
        """In order."""
        ...

    def create(self, name: str, model: Embedder) -> Created:
        """A new collection of the embedder's photos, or the one that is there. Raises MalformedRequest for a name that
        can't be one, ForeignCollection where the one that is there is of another model, TooLarge."""
        ...

    def get(self, name: str) -> Collection:
        """Raises UnknownCollection."""
        ...

    def descriptions(self) -> list[Description]:
        """Of those that can be opened."""
        ...

    def delete(self, name: str) -> None:
        """With all its photos. Raises UnknownCollection."""
        ...

    def close(self) -> None: ...


def no_collection(name: str) -> UnknownCollection:
    return UnknownCollection(
        f"There is no collection {name[:80]!r}. GET /v1/collections lists those that there are; PUT "
        "/v1/collections/NAME makes one."
    )


def too_many(most: int) -> TooLarge:
    return TooLarge(
        f"There are {most} collections, which is the limit. Delete one, or have PHOTOTRIAGE_MAX_COLLECTIONS raised."
    )


def check_model(collection: Collection, model: Embedder) -> None:
    """Raises ForeignCollection unless the embedder's embeddings are those of the collection."""
    of, manifest = collection.store.description.model, model.manifest
    if not is_of(of, model):
        raise ForeignCollection(
            f"The collection {collection.name!r} is of {of.name!r}, version {of.version}, and {manifest.name!r}, "
            f"version {manifest.version}, was to answer; embeddings of two versions can't be compared. Serve that "
            "version, or make a new collection and add the photos to it."
        )


def is_of(of: IndexedModel, model: Embedder) -> bool:
    """Whether an embedder's embeddings are those of a collection's model."""
    manifest = model.manifest
    same = of.version == manifest.version or of.version in manifest.same_embeddings_as
    return same and of.parts == tuple(manifest.embedding_parts)


def embedder_of(collection: Collection, embedders: list[Embedder]) -> Embedder:
    """Of those that are loaded the one whose embeddings are those of the collection, whatever it is called now. Raises
    ForeignCollection."""
    of = collection.store.description.model
    fitting = [model for model in embedders if is_of(of, model)]
    if not fitting:
        served = ", ".join(f"{each.name!r}, version {each.manifest.version}" for each in embedders) or "none"
        raise ForeignCollection(
            f"The collection {collection.name!r} is of {of.name!r}, version {of.version}, which isn't served "
            f"({served}). Put that version's folder beside the others, or make a new collection and add the photos to "
            "it."
        )
    return max(fitting, key=lambda model: (model.manifest.version == of.version, model.name == of.name))
