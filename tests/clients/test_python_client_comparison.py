"""Embeddings compared by the Python client, against the core's own rule."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from phototriage_client import Comparer, Embedding, ModelInfo

from phototriage import duplicates
from phototriage.duplicates import layout
from phototriage.duplicates.layout_rescoring import LayoutRescoring
from phototriage.models.embedder import Embedder
from phototriage.models.model_set import Models, load_models
from phototriage.settings import Settings
from phototriage.triage import embedding, responses
from phototriage.triage.comparison import Thresholds, judge
from phototriage.triage.embedding import EmbeddedImage
from tests.tiny_models import decision, write_embedder, write_model

PAIRS = 500
LOOKS = {
    "no layout re-scoring": None,
    "raised": LayoutRescoring(floor=0.5, weight=0.9),
    "raised and doubted": LayoutRescoring(floor=0.6, weight=0.5, doubt=0.3, doubt_from=0.1, doubt_most=0.8),
}

Vectors = NDArray[np.float32]


@pytest.fixture(scope="module", params=LOOKS.values(), ids=list(LOOKS))
def models(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Models:
    directory = tmp_path_factory.mktemp("models")
    write_embedder(directory / "tiny", decision=decision(layout_rescoring=request.param))
    return load_models(Settings(models_directory=directory, threads=1, provider="cpu"))


@pytest.fixture
def served(models: Models) -> Embedder:
    return models.embedder()


@pytest.fixture
def comparer(models: Models) -> Comparer:
    (told,) = responses.list_models(models).models
    return Comparer(ModelInfo.model_validate_json(told.model_dump_json()))


def unit(rows: Vectors) -> Vectors:
    found: Vectors = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    return found


def pairs(served: Embedder) -> tuple[Vectors, Vectors]:
    """Embeddings from equal to unlike, with layouts that agree, are mirrored, half agree or are plain."""
    random = np.random.default_rng(0)
    left, right = [], []
    for part in served.manifest.embedding_parts:
        a = random.normal(size=(PAIRS, part)).astype(np.float32)
        b = a + random.normal(size=a.shape).astype(np.float32) * random.uniform(0, 2, (PAIRS, 1)).astype(np.float32)
        b[:20] = a[:20]
        left.append(unit(a))
        right.append(unit(b))
    if served.manifest.layout_rescoring is not None:
        right[1][::3, layout.EVEN :] *= -1
        left[1][5], right[1][6] = 0, 0
    return np.concatenate(left, axis=1), np.concatenate(right, axis=1)


def kept(served: Embedder, vector: Vectors) -> Embedding:
    return Embedding.from_json(embedding.encode(vector, responses.name_of(served)).model_dump_json())


def test_similarities_are_those_of_the_server(served: Embedder, comparer: Comparer) -> None:
    left, right = pairs(served)
    expected = duplicates.similarities(left, right, served.manifest.layout_rescoring)
    found = comparer.similarities(
        comparer.stack(kept(served, row) for row in left), comparer.stack(kept(served, row) for row in right)
    )
    assert np.ptp(expected) > 1
    assert np.abs(found - expected).max() < 1e-12
    assert np.array_equal(comparer.similarities(left[7], right), comparer.similarities(left[[7] * PAIRS], right))


def test_answers_are_those_of_the_server(served: Embedder, comparer: Comparer) -> None:
    left, right = pairs(served)
    for i in range(0, 60, 7):
        sides = EmbeddedImage(left[i]), EmbeddedImage(right[i])
        for threshold in (None, 0.5):
            found = comparer.compare(kept(served, left[i]), kept(served, right[i]), threshold).model_dump()
            expected = judge(served, *sides, Thresholds(threshold)).answer.model_dump()
            assert found.pop("model") == expected.pop("model")
            assert found == pytest.approx(expected, abs=1e-9)


def test_an_embedding_that_is_not_this_models_is_refused(served: Embedder, comparer: Comparer) -> None:
    own = kept(served, pairs(served)[0][0])
    not_finite = embedding.encode(np.full(comparer.dimension, np.nan, np.float32), responses.name_of(served))
    for foreign, message in (
        (own.model_copy(update={"version": "0" * 16}), "embed the image again"),
        (own.model_copy(update={"model": "other"}), "embed the image again"),
        (own.model_copy(update={"dimension": 2}), "has 2 dimensions"),
        (own.model_copy(update={"values": own.values[:-4]}), "bytes"),
        (Embedding.from_json(not_finite.model_dump_json()), "not finite"),
    ):
        with pytest.raises(ValueError, match=message):
            comparer.compare(own, foreign)


def test_versions_that_embed_alike_are_compared(tmp_path: Path) -> None:
    write_embedder(tmp_path / "tiny", same_embeddings_as=("1" * 16,))
    models = load_models(Settings(models_directory=tmp_path, threads=1, provider="cpu"))
    (told,) = responses.list_models(models).models
    comparer = Comparer(ModelInfo.model_validate_json(told.model_dump_json()))
    vector = unit(np.ones((1, 3), np.float32))[0]
    own = kept(models.embedder(), vector)
    older = own.model_copy(update={"version": "1" * 16, "signature": "AQID"})
    answer = comparer.compare(own, older)
    assert (answer.decision, answer.verified, answer.model.version) == ("duplicate", False, own.version)
    assert answer.reason == "The similarity of the embeddings is 1.000, at least the threshold 0.900; not verified."
    with pytest.raises(ValueError, match="embed the image again"):
        comparer.compare(own, own.model_copy(update={"version": "2" * 16}))


def test_nothing_stacks_to_nothing(comparer: Comparer) -> None:
    assert comparer.stack([]).shape == (0, comparer.dimension)


def test_a_classifier_compares_nothing(tmp_path: Path) -> None:
    write_model(tmp_path / "tiny")
    models = load_models(Settings(models_directory=tmp_path, threads=1, provider="cpu"))
    (told,) = responses.list_models(models).models
    with pytest.raises(ValueError, match="'tiny' is of kind 'classifier'"):
        Comparer(ModelInfo.model_validate_json(told.model_dump_json()))
