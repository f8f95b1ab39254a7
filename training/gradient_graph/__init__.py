"""A trained network as one ONNX graph whose input gradient is an ordinary output: two rules for each kind of layer."""

from training.gradient_graph.graph import build_onnx
from training.gradient_graph.layers import UnsupportedLayer

__all__ = ["UnsupportedLayer", "build_onnx"]
