from __future__ import annotations

import numpy as np
import onnx
import pytest

from benchmarks.embed_cost import WARM_UP, lite0_classifier, measure, ratios
from tests.tiny_models import input_rule


def test_every_call_is_made_in_every_round_and_begins_in_turn() -> None:
    made: list[str] = []
    seconds = measure({name: lambda name=name: made.append(name) for name in "abc"}, rounds=6)  # type: ignore[misc]
    assert [len(values) for values in seconds.values()] == [6, 6, 6]
    rounds = ["".join(made[i : i + 3]) for i in range(0, len(made), 3)]
    assert len(rounds) == 6 + WARM_UP
    assert rounds[WARM_UP:] == ["abc", "bca", "cab"] * 2


def test_ratios_are_medians_of_the_rounds() -> None:
    one = np.array([1.0, 2.0, 4.0])
    found = ratios({"embed": one * [2, 1, 3], "raw": one, "forward": one, "classifier": one * 2})
    assert [median for median, _, _ in found.values()] == pytest.approx([2, 0.5])


def test_the_classifier_is_a_forward_graph_of_that_size() -> None:
    graph = onnx.load_model_from_string(lite0_classifier(input_rule(height=64, width=96))).graph
    (images,) = graph.input
    assert [side.dim_value for side in images.type.tensor_type.shape.dim][1:] == [64, 96, 3]
    assert [output.name for output in graph.output] == ["logits"]
