"""All that say whether two images are copies of one: each a function of two images' features."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple

import numpy as np

from benchmarks.duplicate_peers import Hash, difference_hash, pdq, perceptual_hash
from benchmarks.kinds.features import Features
from phototriage import duplicates
from phototriage.common.errors import ModelFolderError
from phototriage.models.embedder import Embedder
from phototriage.triage.comparison import judge
from phototriage.triage.embedding import EmbeddedImage
from phototriage.verification.registration import by_points

SERVED, EMBEDDING, INLIERS = "served", "embedding alone", "SIFT inliers"
LEAST_INLIERS = 10
# Bits that may differ: 10 of 64 as imagededup has it, 31 of 256 as PDQ's authors have it.
HASHES: Sequence[tuple[Callable[[], Hash], float]] = (
    (perceptual_hash, 10 / 64),
    (difference_hash, 10 / 64),
    (pdq, 31 / 256),
)


class Verdict(NamedTuple):
    """The decision, and a score that is higher the likelier two images are copies of one."""

    is_duplicate: bool
    score: float


Decide = Callable[[Features, Features], Verdict]


def by_embedding(model: Embedder) -> Decide:
    """The similarity of embeddings alone, at the manifest's threshold. Raises ModelFolderError for a model
    that decides on no duplicates."""
    decision, rescoring = model.manifest.decision, model.manifest.layout_rescoring
    if decision is None:
        raise ModelFolderError(f"{model.name} has no threshold for duplicates")
    threshold = decision.threshold

    def decide(a: Features, b: Features) -> Verdict:
        similarity = duplicates.similarity(a.embedding, b.embedding, rescoring)
        return Verdict(duplicates.is_duplicate(similarity, threshold), similarity)

    return decide


def as_served(model: Embedder) -> Decide:
    """What is served: the decision about two images, which verification makes where the model has it."""

    def decide(a: Features, b: Features) -> Verdict:
        answer = judge(model, EmbeddedImage(a.embedding, a.signature), EmbeddedImage(b.embedding, b.signature)).answer
        return Verdict(answer.is_duplicate, answer.probability)

    return decide


def by_inliers(a: Features, b: Features) -> Verdict:
    """How many points one affine transform brings together, mirrored or not."""
    found = (by_points(a.signature, b.signature, mirrored) for mirrored in (False, True))
    count = max(0 if each is None else len(each.inliers) for each in found)
    return Verdict(count >= LEAST_INLIERS, float(count))


def by_hash(peer: Hash, most: float, a: Features, b: Features) -> Verdict:
    """Whether at most that share of the bits differs, mirrored or not."""
    similarity = float(peer.similarities(a.codes[peer.name][np.newaxis], b.codes[peer.name][np.newaxis])[0])
    return Verdict(similarity >= 1 - most, similarity)


def deciders(model: Embedder) -> tuple[dict[str, Decide], list[Hash], list[str]]:
    """All by name, what is served first; the hashes whose codes they need; and what was left out and why."""
    found: dict[str, Decide] = {SERVED: as_served(model), EMBEDDING: by_embedding(model)}
    hashes, missing = [], []
    for maker, most in HASHES:
        try:
            peer = maker()
        except ImportError as error:
            missing.append(f"{maker.__name__} is left out: {error}")
            continue
        hashes.append(peer)
        found[peer.name] = partial(by_hash, peer, most)
    found[INLIERS] = by_inliers
    return found, hashes, missing
