"""Where features are in a graph, and what the graph gives out with them."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from phototriage.runtime.feature_tensors import FeatureTensors, find_features, with_features
from phototriage.runtime.forward_graph import forward_only
from tests.tiny_models import tiny_graph


def blocks() -> onnx.ModelProto:
    """float (N, 2, 4, 4) → a residual sum, the maximum of four, their mean, logits (N, 3)."""
    nodes = [
        helper.make_node("Relu", ["images"], ["positive"]),
        helper.make_node("Add", ["images", "positive"], ["sum"]),
        helper.make_node("MaxPool", ["sum"], ["maxima"], kernel_shape=[2, 2], strides=[2, 2]),
        helper.make_node("GlobalAveragePool", ["maxima"], ["mean"]),
        helper.make_node("Flatten", ["mean"], ["flat"]),
        helper.make_node("Gemm", ["flat", "weights"], ["logits"]),
    ]
    graph = helper.make_graph(
        nodes,
        "blocks",
        [helper.make_tensor_value_info("images", TensorProto.FLOAT, ["N", 2, 4, 4])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["N", 3])],
        [numpy_helper.from_array(np.ones((2, 3), np.float32), "weights")],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)


def test_inner_maps_are_those_that_the_last_features_are_not_just_the_means_of() -> None:
    assert find_features(blocks(), "logits") == FeatureTensors("sum", "flat")


def test_the_graph_gives_means_and_features() -> None:
    model, names = with_features(blocks(), FeatureTensors("sum", "flat"))
    images = np.random.default_rng(0).normal(size=(3, 2, 4, 4)).astype(np.float32)
    inner, last, logits = onnxruntime.InferenceSession(model.SerializeToString()).run(
        [*names, "logits"], {"images": images}
    )
    sums = images + np.maximum(images, 0)
    assert inner == pytest.approx(sums.mean((2, 3)), abs=1e-6)
    maxima = sums.reshape(3, 2, 2, 2, 2, 2).max((3, 5))
    assert last == pytest.approx(maxima.mean((2, 3)), abs=1e-6)
    assert logits == pytest.approx(np.tile(last.sum(1, keepdims=True), 3), abs=1e-5)
    assert [each.name for each in blocks().graph.output] == ["logits"]


def test_a_graph_without_features_is_refused() -> None:
    with pytest.raises(ValueError, match="linear layer"):
        find_features(forward_only(tiny_graph()), "logits")
