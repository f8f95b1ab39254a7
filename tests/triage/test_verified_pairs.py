"""Candidates to the pairs that verification confirms, and what hangs together by them."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from phototriage.models.embedder import Embedder
from phototriage.models.model_set import Models
from phototriage.triage import pair_processes
from phototriage.triage import verified_pairs as module
from phototriage.triage.verified_pairs import VerifiedPairs, components, verified_pairs
from phototriage.verification.signature import signature_of
from phototriage.verification.verifier import Verifier
from tests.verification.handmade import config, stump
from tests.verification.photos import drawn_photo

PHOTO = drawn_photo(1, 240, 320)
OTHER = drawn_photo(2, 240, 320)
CROPS = [PHOTO[20:, 10:], PHOTO[:220, :310]]


@pytest.fixture
def embedder(models: Models, monkeypatch: pytest.MonkeyPatch) -> Embedder:
    chosen = models.embedder()
    monkeypatch.setattr(chosen, "verifier", Verifier(config(), stump("fine_disagreement", 0.2, low=3.0, high=-5.0)))
    return chosen


def compare(
    embedder: Embedder,
    images: list[NDArray[np.uint8]],
    candidates: list[tuple[int, int]],
    step: Callable[[int], None] = lambda done: None,
    processes: int = 1,
) -> VerifiedPairs:
    signatures = [signature_of(np.ascontiguousarray(image)).encoded for image in images]
    vectors = np.ones((len(images), 3), np.float32) / np.sqrt(np.float32(3))
    first, second = (np.array(side, np.int64) for side in zip(*candidates, strict=True))
    return verified_pairs(embedder, vectors, signatures, (first, second), 0.5, processes, step)


def pairs(found: VerifiedPairs) -> list[tuple[int, int]]:
    return list(zip(found.pairs.first.tolist(), found.pairs.second.tolist(), strict=True))


def test_candidates_are_verified_and_told_of(embedder: Embedder) -> None:
    steps: list[int] = []
    found = compare(embedder, [PHOTO, OTHER, CROPS[0]], [(0, 1), (2, 0), (1, 2), (0, 2)], steps.append)
    assert pairs(found) == [(0, 2)]
    assert found.pairs.similarity.tolist() == [1.0]
    assert (found.verified, sum(steps), found.left_out) == (3, 3, 0)


def test_several_processes_answer_as_one(embedder: Embedder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pair_processes, "MANY", 2)
    monkeypatch.setattr(pair_processes, "CHUNK", 1)
    images, candidates = [CROPS[0], PHOTO, CROPS[1], OTHER], [(0, 1), (1, 2), (2, 3), (0, 3)]
    steps: list[int] = []
    found = compare(embedder, images, candidates, steps.append, processes=2)
    assert pairs(found) == pairs(compare(embedder, images, candidates))
    assert (found.verified, sum(steps)) == (5, 5)


def test_what_hangs_together_is_verified_too(embedder: Embedder) -> None:
    found = compare(embedder, [CROPS[0], PHOTO, CROPS[1], OTHER], [(0, 1), (1, 2), (2, 3)])
    assert pairs(found) == [(0, 1), (0, 2), (1, 2)]
    assert found.verified == 4


def test_equal_images_are_compared_once(embedder: Embedder) -> None:
    found = compare(embedder, [PHOTO, OTHER, PHOTO, CROPS[0], PHOTO], [(0, 2), (0, 3), (2, 3), (3, 4)])
    assert pairs(found) == [(0, 2), (0, 3), (0, 4), (2, 3), (2, 4), (3, 4)]
    assert found.verified == 1


def test_equal_plain_images_are_no_duplicates(embedder: Embedder) -> None:
    plain = np.full((90, 90, 3), 200, np.uint8)
    assert pairs(compare(embedder, [plain, plain, PHOTO], [(0, 1), (1, 2)])) == []


def test_too_many_that_hang_together_are_told(embedder: Embedder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_OF_A_COMPONENT", 0)
    found = compare(embedder, [CROPS[0], PHOTO, CROPS[1]], [(0, 1), (1, 2)])
    assert (pairs(found), found.left_out) == ([(0, 1), (1, 2)], 3)


def test_components() -> None:
    assert components([(5, 2), (0, 9), (2, 7), (9, 3)]) == [[0, 3, 9], [2, 5, 7]]
    assert components([]) == []


def test_a_model_that_does_not_verify_is_refused(models: Models) -> None:
    with pytest.raises(ValueError, match="doesn't verify"):
        compare(models.embedder(), [PHOTO, OTHER], [(0, 1)])
