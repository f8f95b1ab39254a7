"""Do ONNX Runtime and torch say the same? Measured on trained weights, before a model is written."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from phototriage.common.errors import PhototriageError
from phototriage.model_folder.golden import correlation
from training.featout.featout import input_gradients
from training.gradient_graph.graph import folded

Images = NDArray[np.uint8]
Floats = NDArray[np.float32]
Explain = Callable[[Images, Floats], tuple[Floats, Floats]]

BATCH_SIZES = (1, 3, 8)
# Float32 rounding of a network of this depth, relative to the largest logit; a wrong layer is off by far more.
LOGITS_TOLERANCE = 1e-4
LEAST_CORRELATION = 0.9999
CORRELATED_SHARE = 0.99
# Steps of pixels in [0, 1] as small as float32's rounding in the first layers, and how many are tried.
NUDGE, NUDGES = 1e-6, 8
# Times torch-float32's own median error, unless the error is below SMALL_ERROR: few units on a kink make that much, and
# of a few dozen images torch's own may have none.
ERROR_RATIO, SMALL_ERROR = 2.0, 3e-4


class DisagreementError(PhototriageError):
    """The exported graph isn't the trained network."""

    code = "disagreement"
    title = "ONNX Runtime and torch disagree"


@dataclass(frozen=True)
class Agreement:
    """What the comparison came to.

    logits: largest difference, relative to the largest logit (or component of an embedding). correlations (n,): of
    the gradients of ONNX Runtime and of torch in float32, an image each, batch norms folded in torch as in the graph;
    unfolded (n,): the same with the network as it was trained, which rounds otherwise. errors and torch_errors (n,):
    distance of either from torch in float64, relative to that one's length. kinks (n,): of drawn images that fall
    short, those whose exact gradient jumps as far within rounding of the image; no photo is excused.
    """

    logits: float
    correlations: NDArray[np.float64]
    unfolded: NDArray[np.float64]
    errors: NDArray[np.float64]
    torch_errors: NDArray[np.float64]
    kinks: NDArray[np.bool_]

    @property
    def error_ratio(self) -> float:
        """Median error over torch-float32's own median error."""
        own = float(np.median(self.torch_errors))
        return float(np.median(self.errors)) / own if own else float(np.median(self.errors) > 0)

    def check(self) -> None:
        """Raise DisagreementError, with the figures, where a tolerance is exceeded.

        The gradient of a ReLU network jumps where a unit sits on its kink; there two correct evaluations differ.
        So one image in a hundred may fall short, and always one. Drawn images have flat areas, which put a whole area
        on one kink; there a further one may fall short only where float64 itself shows the jump.
        """
        if not self.logits <= LOGITS_TOLERANCE:
            raise DisagreementError(
                f"logits differ by {self.logits:.2e} of the largest, the limit is {LOGITS_TOLERANCE:.0e}"
            )
        short = int((~(self.correlations >= LEAST_CORRELATION) & ~self.kinks).sum())
        allowed = max(1, int((1 - CORRELATED_SHARE) * len(self.correlations)))
        if short > allowed:
            raise DisagreementError(
                f"{short} of {len(self.correlations)} gradients have a correlation below {LEAST_CORRELATION} with "
                f"torch's, the least is {self.correlations.min():.6f}; {allowed} may"
            )
        if not (self.error_ratio <= ERROR_RATIO or float(np.median(self.errors)) <= SMALL_ERROR):
            raise DisagreementError(
                f"the gradient's median error against float64 is {self.error_ratio:.2f} times torch-float32's own, "
                f"the limit is {ERROR_RATIO}"
            )

    def text(self) -> str:
        """One line with the figures."""
        return (
            f"outputs within {self.logits:.1e} of the largest; gradient correlation of {LEAST_CORRELATION} or more for "
            f"{100 * (self.correlations >= LEAST_CORRELATION).mean():.1f} % with batch norms folded in torch as in the "
            f"graph, for {100 * (self.unfolded >= LEAST_CORRELATION).mean():.1f} % with the network as trained; at "
            f"least {np.quantile(self.correlations, 0.01):.6f} for 99 %; median error against float64 "
            f"{np.median(self.errors):.1e} (torch-float32: {np.median(self.torch_errors):.1e}); "
            f"n = {len(self.correlations)}, batches of {', '.join(map(str, BATCH_SIZES))}"
        )


def compare(network: nn.Module, explain: Explain, images: Images, *, drawn: bool = False) -> Agreement:
    """Run `images` uint8 (n, H, W, C) through `explain` in batches of 1, 3 and 8 by turns, and through torch in
    float32 and float64, batch norms folded as in the graph; what is explained is the output that is largest in torch.
    """
    exact_network = folded(network)
    rounded_network = copy.deepcopy(exact_network).float()  # the weights that the graph has
    logits_difference, largest = 0.0, 0.0
    correlations, unfolded, errors, torch_errors, kinks = [], [], [], [], []
    start = turn = 0
    while start < len(images):
        batch = images[start : start + BATCH_SIZES[turn % len(BATCH_SIZES)]]
        start, turn = start + len(batch), turn + 1
        pixels = torch.from_numpy(batch.transpose(0, 3, 1, 2).copy()) / 255
        with torch.no_grad():
            targets = rounded_network(pixels).argmax(1)
        as_trained, _ = input_gradients(network, pixels, targets)
        gradients, logits = input_gradients(rounded_network, pixels, targets)
        exact, _ = input_gradients(exact_network, pixels.double(), targets)
        weights = np.eye(logits.shape[1], dtype=np.float32)[targets.numpy()]
        found_logits, found = explain(batch, weights)
        logits_difference = max(logits_difference, float(np.abs(found_logits - logits.numpy()).max()))
        largest = max(largest, float(logits.abs().max()))
        arrays = (each.permute(0, 2, 3, 1).numpy() for each in (gradients, as_trained, exact))
        for i, (one, own, trained, truth) in enumerate(zip(found, *arrays, strict=True)):
            correlations.append(correlation(one, own))
            short = drawn and correlations[-1] < LEAST_CORRELATION
            kinks.append(
                short and jumps_within_rounding(exact_network, pixels[i : i + 1], targets[i : i + 1], correlations[-1])
            )
            unfolded.append(correlation(one, trained))
            errors.append(_distance(one, truth))
            torch_errors.append(_distance(own, truth))
    kept = [np.array(values) for values in (correlations, unfolded, errors, torch_errors)]
    return Agreement(logits_difference / largest, kept[0], kept[1], kept[2], kept[3], np.array(kinks, bool))


def jumps_within_rounding(network: nn.Module, pixels: Tensor, target: Tensor, found: float) -> bool:
    """Whether the exact gradient of one image (1, C, H, W), in float64, changes at least as much as was `found`, by its
    correlation, when the pixels move within rounding."""
    exact, _ = input_gradients(network, pixels.double(), target)
    generator = torch.Generator().manual_seed(0)
    for _ in range(NUDGES):
        step = NUDGE * (2 * torch.rand(pixels.shape, generator=generator, dtype=torch.float64) - 1)
        moved, _ = input_gradients(network, pixels.double() + step, target)
        if correlation(moved.numpy(), exact.numpy()) <= found:
            return True
    return False


def _distance(found: NDArray[np.floating], truth: NDArray[np.floating]) -> float:
    length = float(np.linalg.norm(truth))
    return float(np.linalg.norm(found.astype(np.float64) - truth)) / length if length else 0.0
