from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest

from phototriage.models.loading import load_classifier
from phototriage.runtime.predicted_label import explains_predicted
from phototriage.settings import Settings
from tests.tiny_models import LABELS, tiny_graph

ROOT = Path(__file__).parents[2]


def test_zeros_stand_for_the_predicted_label() -> None:
    graph = explains_predicted(tiny_graph(), "output_weights", "logits", len(LABELS))
    onnx.checker.check_model(graph)
    session = onnxruntime.InferenceSession(graph.SerializeToString(), providers=["CPUExecutionProvider"])
    images = np.zeros((3, 16, 16, 3), np.uint8)
    images[0, ..., 2] = images[1, ..., 1] = images[2, ..., 0] = 200
    weights = np.array([[0, 0, 0], [0, 0, 0], [0, -2, 0.5]], np.float32)
    logits, gradient = session.run(["logits", "gradient"], {"images": images, "output_weights": weights})
    assert logits.argmax(1).tolist() == [2, 1, 0]
    # At its peak the tiny model's gradient is the weights themselves.
    np.testing.assert_array_equal(gradient[:, 4, 8], [[0, 0, 1], [0, 1, 0], [0, -2, 0.5]])


def test_the_model_given_stays_as_it_is() -> None:
    graph = tiny_graph()
    before = graph.SerializeToString()
    explains_predicted(graph, "output_weights", "logits", len(LABELS))
    assert graph.SerializeToString() == before


@pytest.mark.parametrize("value", [0, 90, 255])
def test_the_shipped_classifier_explains_what_it_predicts(value: int) -> None:
    model = load_classifier(ROOT / "exported_models" / "cats_dogs", Settings(threads=1, provider="cpu"))
    images = np.full((1, 224, 224, 3), value, np.uint8)
    images[:, 60:140, 30:200, 1] //= 2
    best = int(model.logits(images)[0].argmax())
    asked = np.eye(2, dtype=np.float32)[[best]]
    logits, gradient = model.explain(images, np.zeros((1, 2), np.float32))
    again, expected = model.explain(images, asked)
    np.testing.assert_array_equal(logits, again)
    np.testing.assert_array_equal(gradient, expected)
