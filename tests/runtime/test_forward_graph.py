"""The forward part has what the logits need and nothing else."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime
import pytest

from phototriage.runtime.forward_graph import forward_only
from tests.tiny_models import tiny_graph


def test_the_backward_part_is_left_out() -> None:
    whole = tiny_graph()
    before = whole.SerializeToString()
    cut = forward_only(whole)
    assert [node.op_type for node in cut.graph.node] == ["Cast", "ReduceMean", "Mul"]
    assert [one.name for one in cut.graph.input] == ["images"]
    assert [one.name for one in cut.graph.output] == ["logits"]
    assert {one.name for one in cut.graph.initializer} == {"plane", "scale"}
    assert whole.SerializeToString() == before


def test_it_is_a_model_with_the_same_logits() -> None:
    whole = tiny_graph()
    cut = forward_only(whole)
    onnx.checker.check_model(cut, full_check=True)
    images = np.random.default_rng(0).integers(0, 256, (3, 16, 16, 3), np.uint8)
    weights = np.ones((3, 3), np.float32)
    providers = ["CPUExecutionProvider"]
    full = onnxruntime.InferenceSession(whole.SerializeToString(), providers=providers)
    part = onnxruntime.InferenceSession(cut.SerializeToString(), providers=providers)
    expected = full.run(["logits"], {"images": images, "output_weights": weights})[0]
    np.testing.assert_array_equal(part.run(["logits"], {"images": images})[0], expected)


def test_an_unknown_output_is_refused() -> None:
    with pytest.raises(ValueError, match="embedding"):
        forward_only(tiny_graph(), ("embedding",))
