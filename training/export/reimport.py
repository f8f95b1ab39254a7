"""An exported model's network in torch again, from its ONNX file alone: to check what is shipped without its run."""

from __future__ import annotations

from pathlib import Path

import onnx
import torch
from onnx import numpy_helper
from torch import fx, nn

from phototriage.common.errors import ModelFolderError
from phototriage.model_folder import manifest
from phototriage.model_folder.manifest import MODEL_FILE, Manifest
from phototriage.runtime.forward_graph import forward_only
from training.gradient_graph.graph import folded
from training.networks.classifier import Classifier, NetworkSpec
from training.networks.embedder import Embedder, EmbedderSpec

WEIGHTED = {"Conv", "Gemm"}


def read_exported(folder: Path) -> tuple[Manifest, fx.GraphModule]:
    """The manifest, and the network in float32 with its batch norms folded: the weights that the graph has.

    Raises ModelFolderError for a folder that doesn't verify, or whose graph isn't the network that its manifest names.
    """
    described = manifest.read(folder)
    network = folded(untrained(described)).float()
    graph = forward_only(onnx.load(folder / MODEL_FILE), (described.main_role,)).graph
    arrays = {each.name: numpy_helper.to_array(each) for each in graph.initializer}
    found = [[arrays[name] for name in node.input[1:]] for node in graph.node if node.op_type in WEIGHTED]
    layers = [layer for layer in _called(network) if isinstance(layer, nn.Conv2d | nn.Linear)]
    shapes = [[tuple(each.shape) for each in layer.parameters()] for layer in layers]
    if shapes != [[each.shape for each in weights] for weights in found]:
        raise ModelFolderError(f"{folder.name}/{MODEL_FILE} isn't the network that {manifest.FILE_NAME} describes")
    with torch.no_grad():
        for layer, weights in zip(layers, found, strict=True):
            for parameter, array in zip(layer.parameters(), weights, strict=True):
                parameter.copy_(torch.from_numpy(array.copy()))
    return described, network.eval()


def untrained(described: Manifest) -> Classifier | Embedder:
    """The untrained network that the manifest's settings build."""
    settings = described.training.settings
    if described.kind == "embedder":
        return Embedder(EmbedderSpec.model_validate(settings["network"]))
    channels = described.input.channels
    return Classifier(
        NetworkSpec.model_validate(
            {name: settings[name] for name in ("backbone", "trunk") if name in settings}  # the second is its old name
            | {"classes": len(described.labels), "channels": channels}
        )
    )


def _called(network: fx.GraphModule) -> list[nn.Module]:
    """Modules in the order in which they run."""
    modules = dict(network.named_modules())
    return [modules[str(node.target)] for node in network.graph.nodes if node.op == "call_module"]
