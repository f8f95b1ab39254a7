"""What a collection says of a photo that is looked at anyway: it is asked about it, or the photo is added to it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from phototriage.collections.collection import Aside, Collection, in_turn
from phototriage.collections.triage_schemas import CollectionPart
from phototriage.models.embedder import Embedder
from phototriage.runtime.batching import NO_DEADLINE
from phototriage.triage.comparison import TUNED, Thresholds
from phototriage.triage.embedding import EmbeddedImage

MOST_DUPLICATES = 10  # that are listed of a photo which is only asked about


@dataclass(frozen=True)
class Asking:
    """Which collection is asked. if_new, most: as of `Collection.add`."""

    collection: Collection
    model: Embedder
    tags: Sequence[str] = ()
    if_new: bool = False
    most: int = 1_000_000
    thresholds: Thresholds = TUNED

    def part(
        self, image: EmbeddedImage, id: str | None, deadline: float = NO_DEADLINE, aside: Aside = in_turn
    ) -> CollectionPart:
        """With an id the photo is added, else it is asked about alone. Errors as of `Collection.query` and `add`: then
        it wasn't added."""
        collection, bounds = self.collection, self.thresholds
        if id is None:
            found = collection.query(
                self.model, image, top_k=MOST_DUPLICATES, thresholds=bounds, deadline=deadline, aside=aside
            )
            return CollectionPart(
                collection=found.collection,
                model=found.model,
                is_duplicate=found.is_duplicate,
                duplicates=[match for match in found.matches if match.is_duplicate],
            )
        told = collection.add(
            self.model, image, id, self.tags, self.if_new, self.most, bounds, deadline=deadline, aside=aside
        )
        return CollectionPart(is_duplicate=bool(told.duplicates), **dict(told))
