from __future__ import annotations

import onnx

from benchmarks.embed_cost import lite0_classifier
from tests.tiny_models import input_rule


def test_the_classifier_is_a_forward_graph_of_that_size() -> None:
    graph = onnx.load_model_from_string(lite0_classifier(input_rule(height=64, width=96))).graph
    (images,) = graph.input
    assert [side.dim_value for side in images.type.tensor_type.shape.dim][1:] == [64, 96, 3]
    assert [output.name for output in graph.output] == ["logits"]
