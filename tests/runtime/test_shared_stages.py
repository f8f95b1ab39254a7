"""A classifier and an embedder that begin alike: what is shared, what it answers, and when it isn't."""

from __future__ import annotations

import gc
import shutil
import weakref
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, numpy_helper

from phototriage.duplicates.layout import DIMENSION
from phototriage.duplicates.layout_rescoring import LayoutRescoring
from phototriage.models.embedder_tail import EmbedderTail
from phototriage.models.model_set import Kind, Models, load_models, load_needed
from phototriage.runtime.forward_graph import forward_only
from phototriage.runtime.shared_stages import Cut, digests, find_cut, part
from phototriage.server.model_changes import read_again
from phototriage.settings import Settings
from phototriage.triage import pipeline
from phototriage.triage.pipeline import TriageRequest
from tests.drawings import picture
from tests.staged_models import staged_graph, write_staged
from tests.tiny_models import decision, input_rule

ALL = TriageRequest(("classify", "saliency", "embed"))


def forward(answer: str, *arguments: Any, **options: Any) -> onnx.ModelProto:
    return forward_only(staged_graph(answer, *arguments, **options), (answer,))


CLASSIFIER = digests(forward("logits", 1, 2))


def cut(stage: int, **options: Any) -> Cut | None:
    """Of a classifier whose first stage is 1's, and an embedder."""
    return find_cut(CLASSIFIER, forward("embedding", stage, 3, **options))


def test_the_cut_is_the_last_tensor_that_is_the_same() -> None:
    assert cut(1) == Cut("positive", "positive")


def test_names_do_not_matter() -> None:
    renamed = forward("embedding", 1, 3)
    for node in renamed.graph.node:
        for names in (node.input, node.output):
            names[:] = ["elsewhere" if name == "positive" else name for name in names]
    assert find_cut(CLASSIFIER, renamed) == Cut("positive", "elsewhere")


@pytest.mark.parametrize(
    "options",
    [
        pytest.param({"stage": 4}, id="other weights"),
        pytest.param({"stage": 1, "pads": 0}, id="another setting"),
        pytest.param({"stage": 1, "early_tap": True}, id="another way from the images"),
    ],
)
def test_nothing_in_common(options: dict[str, Any]) -> None:
    assert cut(**options) is None


def test_another_size_or_another_set_of_operators_has_nothing_in_common() -> None:
    one = forward("embedding", 1, 3)
    one.graph.input[0].type.tensor_type.shape.dim[1].dim_value = 32
    assert find_cut(CLASSIFIER, one) is None
    two = forward("embedding", 1, 3)
    two.opset_import[0].version += 1
    assert find_cut(CLASSIFIER, two) is None


def test_operators_of_a_models_own_have_nothing_in_common() -> None:
    """Two that are called alike needn't be."""
    own = forward("embedding", 1, 3)
    own.functions.add(name="Mine", domain="mine")
    assert find_cut(CLASSIFIER, own) is None
    assert digests(own) == {}


def test_half_precision_is_not_shared() -> None:
    graphs = []
    for answer, rest in (("logits", 2), ("embedding", 3)):
        graph = forward(answer, 1, rest)
        for node in graph.graph.node:
            if node.op_type == "Cast":
                node.attribute[0].i = TensorProto.FLOAT16
        for constant in graph.graph.initializer:
            array = numpy_helper.to_array(constant)
            if array.dtype == np.float32:
                constant.CopyFrom(numpy_helper.from_array(array.astype(np.float16), constant.name))
        graphs.append(graph)
    assert find_cut(digests(graphs[0]), graphs[1]) is None


def test_a_part_leaves_the_graph_as_it_is() -> None:
    graph = forward("embedding", 1, 3)
    before = graph.SerializeToString(deterministic=True)
    rest = part(graph, ["embedding"], "positive")
    assert [each.name for each in rest.graph.input] == ["positive"]
    assert rest.graph.node[0].op_type == "Conv"
    assert graph.SerializeToString(deterministic=True) == before


# Served


def settings(folder: Path, **changes: Any) -> Settings:
    return Settings(models_directory=folder, provider="cpu", threads=2, model_runs=1, **changes)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_staged(tmp_path / "near", 1, 3, "embedder")
    write_staged(tmp_path / "pets", 1, 2)
    return tmp_path


def refuse_own_pass(models: Models, monkeypatch: pytest.MonkeyPatch, name: str | None = None) -> None:
    def forward(*_: object) -> None:
        raise AssertionError("the embedder's own forward pass ran")

    monkeypatch.setattr(models.embedder(name), "forward", forward)


def vector_of(models: Models, question: TriageRequest) -> np.ndarray[Any, Any]:
    found = pipeline.run_models(pipeline.make_plan(models, question), picture(1), pipeline.DEFAULT_LIMITS).embedding
    assert found is not None
    return found


def test_one_pass_over_the_stages_answers_as_two_do(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    models, saliency = load_models(settings(folder)), TriageRequest(("saliency",))
    needed: tuple[Kind, ...] = ("classifier",)
    apart = pipeline.make_plan(load_needed(settings(folder), needed, None, None), saliency)
    alone = pipeline.run_models(apart, picture(1), pipeline.DEFAULT_LIMITS)
    embedding = vector_of(models, TriageRequest(("embed",)))
    refuse_own_pass(models, monkeypatch)
    for question in (ALL, TriageRequest(("classify", "embed"))):
        np.testing.assert_allclose(vector_of(models, question), embedding, atol=1e-6)
    together = pipeline.run_models(pipeline.make_plan(models, ALL), picture(1), pipeline.DEFAULT_LIMITS)
    for one, other in ((together.logits, alone.logits), (together.gradient, alone.gradient)):
        assert one is not None
        assert other is not None
        np.testing.assert_allclose(one, other, rtol=1e-5)


def test_scoring_shares_too(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    models = load_needed(settings(folder), ("classifier", "embedder"), None, None)
    refuse_own_pass(models, monkeypatch)
    vector_of(models, TriageRequest(("classify", "embed")))


@pytest.mark.parametrize("stage", [1, 4])
def test_classifiers_of_one_stage_share_one_rest(folder: Path, stage: int) -> None:
    write_staged(folder / "rooms", stage, 5)
    models = load_models(settings(folder, default_classifier="pets"))
    pets, rooms = models.classifier("pets"), models.classifier("rooms")
    assert pets.tail is not None
    assert rooms.tail is (pets.tail if stage == 1 else None)


def test_a_model_that_is_fed_otherwise_does_not_share(folder: Path) -> None:
    write_staged(folder / "cropped", 1, 5, input=input_rule().model_copy(update={"aspect": "crop"}))
    models = load_models(settings(folder, default_classifier="pets"))
    assert models.classifier("cropped").tail is None
    assert vector_of(models, TriageRequest(("classify", "embed"), classifier="cropped")).shape == (3,)


def test_another_embedder_is_run_by_itself(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_staged(folder / "far", 1, 6, "embedder")
    models = load_models(settings(folder, default_embedder="near"))
    refuse_own_pass(models, monkeypatch, "near")
    asked = TriageRequest(("classify", "embed"), embedder="far")
    np.testing.assert_array_equal(
        vector_of(models, asked), vector_of(models, TriageRequest(("embed",), embedder="far"))
    )


def test_a_new_embedder_is_shared_with_at_once(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    old = load_models(settings(folder))
    shutil.rmtree(folder / "near")
    write_staged(folder / "near", 1, 7, "embedder")
    models, answer = read_again(settings(folder), old)
    assert [one.name for one in answer.taken_up] == ["near"]
    embedding = vector_of(models, TriageRequest(("embed",)))
    refuse_own_pass(models, monkeypatch)
    np.testing.assert_allclose(vector_of(models, ALL), embedding, atol=1e-6)
    assert np.abs(vector_of(old, ALL) - embedding).max() > 0.01  # who has begun goes on with what they began with


def test_nothing_new_leaves_all_models_as_they_are(folder: Path) -> None:
    old = load_models(settings(folder))
    models, _ = read_again(settings(folder), old)
    assert models.classifier("pets") is old.classifier("pets")
    assert models.embedder("near") is old.embedder("near")
    assert models.classifier("pets").embedder is models.embedder("near")


def test_a_classifier_that_shares_nothing_stays_when_the_embedder_changes(folder: Path) -> None:
    write_staged(folder / "rooms", 4, 5)
    serves = settings(folder, default_classifier="pets")
    old = load_models(serves)
    shutil.rmtree(folder / "near")
    write_staged(folder / "near", 1, 7, "embedder")
    models, _ = read_again(serves, old)
    assert models.classifier("rooms") is old.classifier("rooms")
    assert models.classifier("pets") is not old.classifier("pets")


def test_an_embedder_that_is_refused_leaves_all_as_it_was(folder: Path) -> None:
    old = load_models(settings(folder))
    with (folder / "near" / "model.onnx").open("ab") as file:
        file.write(b"\0")
    models, answer = read_again(settings(folder), old)
    assert [one.name for one in answer.refused] == ["near"]
    assert models.classifier("pets") is old.classifier("pets")
    assert models.classifier("pets").tail is not None


def test_an_embedder_that_is_being_exported_leaves_all_as_it_was(folder: Path) -> None:
    old = load_models(settings(folder))
    (folder / "near").rename(folder / "near.old.part")
    models, _ = read_again(settings(folder), old)
    assert models.classifier("pets") is old.classifier("pets")
    assert models.embedder("near") is old.embedder("near")


def test_stages_that_answer_otherwise_together_are_not_shared(
    folder: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(EmbedderTail, "embed", lambda *_: np.zeros((1, 3), np.float32))
    models = load_models(settings(folder))
    assert models.classifier("pets").tail is None
    assert "each runs alone" in caplog.text
    vector_of(models, ALL)


def test_layout_rescoring_is_taken_too(folder: Path) -> None:
    shutil.rmtree(folder / "near")
    write_staged(
        folder / "near", 1, 3, "embedder", decision=decision(layout_rescoring=LayoutRescoring(floor=0.5, weight=0.9))
    )
    models = load_models(settings(folder))
    embedding = vector_of(models, TriageRequest(("embed",)))
    assert len(embedding) == 3 + DIMENSION
    np.testing.assert_allclose(vector_of(models, ALL), embedding, atol=1e-6)


def test_models_that_are_gone_leave_memory_at_once(folder: Path) -> None:
    """Not when the garbage collector comes by: each holds sessions."""
    gc.collect()
    gc.disable()
    try:
        models = load_models(settings(folder))
        vector_of(models, ALL)
        tail = models.classifier("pets").tail
        assert tail is not None
        left = [weakref.ref(one) for one in (models.classifier("pets"), models.embedder("near"), tail)]
        del models, tail
        assert [one() for one in left] == [None] * 3
    finally:
        gc.enable()
