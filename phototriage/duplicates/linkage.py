"""Near pairs to groups of duplicates, by complete linkage."""

from __future__ import annotations

import heapq
import math
from dataclasses import dataclass

from phototriage.duplicates.pairs import NearPairs


@dataclass(frozen=True)
class Group:
    """Indices of images that are all duplicates of one another, ascending, and the least similarity among them."""

    members: tuple[int, ...]
    minimum_similarity: float


def groups(pairs: NearPairs) -> list[Group]:
    """Groups of two or more images by complete linkage: every two members of a group are a near pair.

    The similarity of two clusters is the least among their cross pairs, and clusters with a cross pair that is not in
    `pairs` are never merged. The most similar two are merged first, and of equally similar ones those with the smallest
    index. So a chain of images, each near only the next, does not become one group.

    Groups are ordered by their smallest member. Memory and time grow with the number of pairs, not with N².
    """
    # A cluster is identified by its smallest member. `links[a][b]` exists only if every cross pair of a and b is near.
    links: dict[int, dict[int, float]] = {}
    for a, b, similarity in zip(pairs.first.tolist(), pairs.second.tolist(), pairs.similarity.tolist(), strict=True):
        links.setdefault(a, {})[b] = similarity
        links.setdefault(b, {})[a] = similarity
    members, minimum = {a: [a] for a in links}, dict.fromkeys(links, math.inf)
    queue = [(-similarity, a, b) for a, neighbours in links.items() for b, similarity in neighbours.items() if a < b]
    heapq.heapify(queue)
    while queue:
        negative, a, b = heapq.heappop(queue)
        if links.get(a, {}).get(b) != -negative:  # stale: a or b was merged since, or their link is weaker now
            continue
        members[a] += members.pop(b)
        minimum[a] = min(minimum[a], minimum.pop(b), -negative)
        for other, similarity in _merge(links, a, b).items():
            heapq.heappush(queue, (-similarity, min(a, other), max(a, other)))
    return [Group(tuple(sorted(members[a])), minimum[a]) for a in sorted(members) if len(members[a]) > 1]


def _merge(links: dict[int, dict[int, float]], a: int, b: int) -> dict[int, float]:
    """Merge cluster `b` into `a`, which keeps the links that both had, each with the lesser similarity. Returns
    these links."""
    links_of_a, links_of_b = links.pop(a), links.pop(b)
    for other in links_of_a:
        links.get(other, {}).pop(a, None)
    for other in links_of_b:
        links.get(other, {}).pop(b, None)
    common = {
        other: min(similarity, links_of_b[other]) for other, similarity in links_of_a.items() if other in links_of_b
    }
    for other, similarity in common.items():
        links[other][a] = similarity
    links[a] = common
    return common
