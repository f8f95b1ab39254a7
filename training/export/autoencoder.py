"""A trained autoencoder as one ONNX graph, compared with torch before it is written.

Unlike the networks that are explained, it has no gradient among its outputs, so torch's own exporter does.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import onnx
import onnxruntime
import torch
from numpy.typing import NDArray

from phototriage.model_folder.manifest import Output
from training.export.agreement import BATCH_SIZES, DisagreementError
from training.gradient_graph.graph import OPSET
from training.networks.autoencoder import Autoencoder, AutoencoderSpec, Measured

IMAGES = "images"
OUTPUTS = ("latent", "reconstruction_error")
# Float32 rounding, of numbers between 0 and 2; a wrong layer is off by far more.
TOLERANCE = 1e-4

Images = NDArray[np.uint8]
Answers = dict[str, NDArray[np.float32]]


@dataclass(frozen=True)
class AutoencoderAgreement:
    """The largest difference of each output between ONNX Runtime and torch, on n images."""

    differences: dict[str, float]
    n: int

    def check(self) -> None:
        """Raise DisagreementError, with the figure, where the tolerance is exceeded."""
        for name, difference in self.differences.items():
            if not difference <= TOLERANCE:  # also if it isn't finite
                raise DisagreementError(f"{name} differs by {difference:.2e}, the limit is {TOLERANCE:.0e}")

    def text(self) -> str:
        figures = ", ".join(f"{name} within {difference:.1e}" for name, difference in self.differences.items())
        return f"{figures}; n = {self.n}, batches of {', '.join(map(str, BATCH_SIZES))}"


def outputs_of(spec: AutoencoderSpec) -> tuple[Output, ...]:
    """As the manifest lists them."""
    shapes = {"latent": ("N", spec.latent), "reconstruction_error": ("N", 2)}
    return tuple(Output.model_validate({"role": name, "name": name, "shape": shapes[name]}) for name in OUTPUTS)


def build_onnx(network: Autoencoder) -> onnx.ModelProto:
    """Input `images` uint8 (N, H, W, C); outputs `latent` float32 (N, D), `reconstruction_error` float32 (N, 2): the
    mean absolute difference of pixels in [0, 1], and 1 − SSIM."""
    spec = network.spec
    example = torch.zeros(2, spec.size, spec.size, spec.channels, dtype=torch.uint8)
    program = torch.onnx.export(
        Measured(network).cpu().eval(),
        (example,),
        dynamo=True,
        input_names=[IMAGES],
        output_names=list(OUTPUTS),
        dynamic_shapes={"images": {0: torch.export.Dim("N")}},
        opset_version=OPSET,
        verbose=False,
    )
    assert program is not None
    model: onnx.ModelProto = program.model_proto
    # The exporter writes down from which files of this machine a node came.
    graph = model.graph
    for part in (model, graph, *graph.node, *graph.input, *graph.output, *graph.value_info):
        del part.metadata_props[:]
        part.doc_string = ""
    onnx.checker.check_model(model, full_check=True)
    return model


def answers_in_torch(network: Autoencoder, images: Images) -> Answers:
    """What the graph has to answer for `images` uint8 (N, H, W, C)."""
    with torch.inference_mode():
        found = Measured(network).eval()(torch.from_numpy(images))
    return dict(zip(OUTPUTS, (each.numpy() for each in found), strict=True))


def compare(network: Autoencoder, model: bytes, images: Images) -> AutoencoderAgreement:
    """Run `images` uint8 (n, H, W, C) through both, in batches of several sizes."""
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    differences = dict.fromkeys(OUTPUTS, 0.0)
    for size in BATCH_SIZES:
        for start in range(0, len(images), size):
            batch = images[start : start + size]
            expected = answers_in_torch(network, batch)
            for name, found in zip(OUTPUTS, session.run(list(OUTPUTS), {IMAGES: batch}), strict=True):
                differences[name] = max(differences[name], float(np.abs(found - expected[name]).max()))
    return AutoencoderAgreement(differences, len(images))
