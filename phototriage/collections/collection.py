"""What a collection answers: whether a photo is there already, what is like it, and which of its photos are one.

Embeddings name candidates, and verification decides, as for two photos. Where the collection has changed since the
look, a photo that is to be added is looked for again, so that of two callers who bring the same photo one is told.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from time import monotonic
from typing import Any, NamedTuple

from phototriage.collections.photos import KeptPhoto, NewPhoto
from phototriage.collections.schemas import (
    AddResponse,
    CollectionMatch,
    CollectionQueryResponse,
    Outcome,
)
from phototriage.collections.store import Found, Store
from phototriage.common.errors import DeadlineExceeded, MalformedRequest, Overloaded, UnknownPhoto
from phototriage.common.metrics import timed
from phototriage.duplicates.pairs import similarity
from phototriage.models.embedder import Embedder
from phototriage.runtime.batching import NO_DEADLINE
from phototriage.triage.comparison import TUNED, Thresholds, decision_of, judge
from phototriage.triage.comparison_schemas import DuplicatesResponse
from phototriage.triage.embedding import EmbeddedImage
from phototriage.triage.responses import name_of
from phototriage.verification.signature_cache import SignatureCache

MOST_LOOKS = 1000  # at a collection that changes from each to the next: the deadline comes first
MOST_MEMBERS = 64  # of a group, that a photo which joins is compared with
MARKED = "The two are marked as no duplicates."

_decode = SignatureCache(256)


class Pair(NamedTuple):
    """A photo of the collection, and what is said of it and the one that was sent."""

    kept: KeptPhoto
    answer: DuplicatesResponse


Work = Callable[[], Pair]
Aside = Callable[[Work], Work]  # takes work, and gives what waits for its result


def in_turn(work: Work) -> Work:
    """An Aside for a caller with one thread."""
    return work


@dataclass
class _Look:
    """What is found of one photo. Pairs that were judged are kept, by row, from one look to the next."""

    model: Embedder
    image: EmbeddedImage
    thresholds: Thresholds
    deadline: float
    aside: Aside
    marked: set[str] = field(default_factory=set)
    pairs: dict[int, Pair] = field(default_factory=dict)
    changes: int = -1
    nearest: dict[int, float] = field(default_factory=dict)  # similarity by row

    def judge(self, store: Store, rows: Sequence[int], screened: bool) -> None:
        """Side by side, where threads are idle. Rows that are gone are left out. screened: those that aren't alike are
        refused at a first look."""
        photos = store.photos([row for row in rows if row not in self.pairs])
        others = [self.aside(partial(self._judged, kept, screened)) for kept in photos[1:]]
        for kept in photos[:1]:
            self.pairs[kept.row] = self._judged(kept, screened)
        for kept, wait in zip(photos[1:], others, strict=True):
            self.pairs[kept.row] = wait()

    def _judged(self, kept: KeptPhoto, screened: bool) -> Pair:
        in_time(self.deadline)
        other = EmbeddedImage(kept.vector, None if kept.signature is None else _decode(kept.signature))
        alike = similarity(self.image.vector, kept.vector, self.model.manifest.layout_rescoring)
        looks = screened and alike < decision_of(self.model).threshold
        answer = judge(self.model, self.image, other, self.thresholds, looks).answer
        if answer.is_duplicate and kept.id in self.marked:
            answer = answer.model_copy(update={"is_duplicate": False, "decision": "not_duplicate", "reason": MARKED})
        return Pair(kept, answer)

    def duplicates(self) -> list[Pair]:
        """The most similar first."""
        same = [pair for pair in self.pairs.values() if pair.answer.is_duplicate]
        return sorted(same, key=lambda pair: (-pair.answer.similarity, pair.kept.row))


class Collection:
    """One collection, and the answers about it. Threads may share it."""

    def __init__(self, store: Store) -> None:
        self.store = store

    @property
    def name(self) -> str:
        return self.store.description.name

    @property
    def _threshold(self) -> float:
        """Of the similarity, where it decides alone."""
        return self.store.description.model.threshold

    def query(
        self,
        model: Embedder,
        image: EmbeddedImage,
        own: str | None = None,
        tags: Sequence[str] = (),
        top_k: int = 10,
        thresholds: Thresholds = TUNED,
        deadline: float = NO_DEADLINE,
        aside: Aside = in_turn,
    ) -> CollectionQueryResponse:
        """The photos that have all tags and are most like the one that was sent, `top_k` of them. own: its id, if it is
        in the collection. Raises DeadlineExceeded, StoreUnavailable."""
        look = _Look(model, image, thresholds, deadline, aside, set() if own is None else self.store.marked(own))
        self._find(look, own, tags, top_k)
        alike = [row for row, value in list(look.nearest.items())[:top_k] if value >= self._threshold]
        look.judge(self.store, alike, screened=True)  # many copies of one photo: candidates are few of them
        shown = look.duplicates()[:top_k]
        rest = sorted(
            (row for row in look.nearest if row not in {pair.kept.row for pair in shown}),
            key=lambda row: (-look.nearest[row], row),
        )[: top_k - len(shown)]
        matches = [match_of(pair) for pair in shown]
        known = {kept.row: kept for kept in self.store.photos([row for row in rest if row not in look.pairs])}
        for row in rest:
            if row in look.pairs:
                matches.append(match_of(look.pairs[row]))
            elif row in known:
                matches.append(unlike(known[row], look.nearest[row], look.marked))
        return CollectionQueryResponse(
            collection=self.name, model=name_of(model), is_duplicate=bool(shown), matches=matches
        )

    def add(
        self,
        model: Embedder,
        image: EmbeddedImage,
        name: str,
        tags: Sequence[str] = (),
        if_new: bool = False,
        most: int = 1_000_000,
        thresholds: Thresholds = TUNED,
        deadline: float = NO_DEADLINE,
        aside: Aside = in_turn,
    ) -> AddResponse:
        """Add a photo; with `if_new` only if it is a duplicate of none. most: photos that the collection may have.

        Raises DeadlineExceeded, StoreUnavailable, TooLarge, and Overloaded where others change it without an end.
        """
        signature = None if image.signature is None else image.signature.encoded
        photo = NewPhoto(name, image.vector, signature, tuple(tags))
        look = _Look(model, image, thresholds, deadline, aside)

        def answer(outcome: Outcome, group: int | None) -> AddResponse:
            return AddResponse(
                collection=self.name,
                model=name_of(model),
                id=name,
                outcome=outcome,
                added=outcome in ("added", "replaced"),
                group=None if group is None else str(group),
                duplicates=[match_of(pair) for pair in look.duplicates()],
            )

        for _ in range(MOST_LOOKS):
            in_time(deadline)
            marked = self.store.marked(name)
            if marked != look.marked:  # what was judged before knew other marks
                look.marked, look.pairs = marked, {}
            self._find(look, name, (), 1)
            earlier = self.store.photo(name)
            if earlier is not None and earlier.is_as(photo):
                if earlier.tags != photo.tags:
                    self.store.set_tags(earlier.row, photo.tags)
                return answer("unchanged", earlier.group)
            if if_new and look.duplicates():
                return answer("duplicate", None)
            kept = self.store.insert(photo, self._group(look, name), look.changes, most)
            if kept is not None:
                return answer("added" if earlier is None else "replaced", kept.group)
        raise Overloaded(f"Others change the collection {self.name!r} without an end. Try again later.")

    def _find(self, look: _Look, own: str | None, tags: Sequence[str], count: int) -> None:
        with timed("search"):
            found: Found = self.store.find(look.image.vector, count, own, tags)
        look.changes = found.changes
        best = found.nearest.best(len(found.nearest.rows))
        look.nearest = dict(zip(best.rows.tolist(), best.similarity.tolist(), strict=True))
        rows = found.nominees.tolist()
        if look.thresholds.similarity is not None or not look.model.verifier or look.image.signature is None:
            # The similarity alone decides, so each that reaches the threshold is a duplicate.
            least = look.thresholds.similarity
            if least is None:
                least = self._threshold
            rows = sorted({*rows, *(row for row, similarity in look.nearest.items() if similarity >= least)})
        # What has died since an earlier look is no match any more.
        look.pairs = {row: pair for row, pair in look.pairs.items() if row in rows}
        look.judge(self.store, rows, screened=True)

    def _group(self, look: _Look, own: str) -> int | None:
        """The group that a photo joins, all of which are its duplicates: of several the one whose least sure member is
        the surest, and of equal ones the oldest. None: it founds one."""
        best: tuple[float, int] | None = None
        same = look.duplicates()
        for group in sorted({pair.kept.group for pair in same}):
            if look.marked and self.store.any_in_group(group, look.marked):
                continue
            members = self.store.members(group, MOST_MEMBERS)
            look.judge(self.store, members, screened=False)
            pairs = [look.pairs[row] for row in members if row in look.pairs and look.pairs[row].kept.id != own]
            if not pairs or not all(pair.answer.is_duplicate for pair in pairs):
                continue
            least = min(pair.answer.probability for pair in pairs)
            if best is None or least > best[0]:
                best = least, group
        return None if best is None else best[1]

    def delete(self, name: str) -> None:
        """Leave nothing of a photo. Raises UnknownPhoto, StoreUnavailable."""
        if not self.store.delete(name):
            raise UnknownPhoto(
                f"The collection {self.name!r} has no photo {name[:80]!r}, so there is nothing to delete."
            )

    def photo(self, name: str) -> KeptPhoto:
        """Raises UnknownPhoto, StoreUnavailable."""
        kept = self.store.photo(name)
        if kept is None:
            raise UnknownPhoto(f"The collection {self.name!r} has no photo {name[:80]!r}. Add it, or ask for another.")
        return kept

    def mark(self, a: str, b: str) -> bool:
        """Remember that two photos are no duplicates, whatever they look like: if they are in one group, the later one
        founds a group of its own. False if it was known. Raises UnknownPhoto, MalformedRequest."""
        if a == b:
            raise MalformedRequest(f"A photo is a duplicate of itself: a and b are both {a[:80]!r}. Name two photos.")
        for name in (a, b):
            self.photo(name)
        return self.store.mark(a, b)

    def unmark(self, a: str, b: str) -> bool:
        """Forget it. False if there was nothing to forget. Groups stay as they are."""
        return self.store.unmark(a, b)


def match_of(pair: Pair) -> CollectionMatch:
    """A photo that was compared closely with the one that was sent."""
    kept, answer = pair
    return CollectionMatch(
        **_common(kept, answer.similarity),
        is_duplicate=answer.is_duplicate,
        decision=answer.decision,
        verified=answer.verified,
        probability=answer.probability,
        reason=answer.reason,
        evidence=answer.evidence,
    )


def unlike(kept: KeptPhoto, similarity: float, marked: set[str]) -> CollectionMatch:
    """A photo that isn't worth a close comparison, or is marked as no duplicate."""
    return CollectionMatch(
        **_common(kept, similarity),
        is_duplicate=False,
        decision="not_duplicate",
        verified=False,
        reason=MARKED if kept.id in marked else None,
    )


def in_time(deadline: float) -> None:
    """Raises DeadlineExceeded."""
    if monotonic() > deadline:
        raise DeadlineExceeded("The answer took longer than the deadline. Try again later.")


def _common(kept: KeptPhoto, similarity: float) -> dict[str, Any]:
    return {
        "id": kept.id,
        "tags": list(kept.tags),
        "group": str(kept.group),
        "added_at": kept.added_at,
        "similarity": similarity,
    }
