"""FeatOut: hide from the model, while it learns, the image parts that it relies on most.

The batched twin, on the training device, of the maps and patches in `phototriage.saliency.masks`; both pass the
hand-worked cases of tests/featout_cases.py. Definitions: docs/reference/methods.md. Pixels are (N, C, H, W) in [0, 1]
and stay in pixel space: black is 0, and no mean or deviation is known here.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from phototriage.saliency.featout_config import FeatOutConfig
from phototriage.saliency.masks import FLAT, ROUNDING, lattice_counts, square_half_side


def patches_at(epoch: int, epochs: int, rule: FeatOutConfig) -> int:
    """How many patches epoch `epoch` (from 0) of `epochs` removes: none in the first, `rule.patches` in the last,
    linear between and at least one after the first. The single variant has one after the first."""
    if epoch == 0:
        return 0
    if rule.variant == "single" or epochs <= 2:
        return 1 if rule.variant == "single" else rule.patches
    return max(1, round(rule.patches * epoch / (epochs - 1)))


@contextmanager
def evaluation_mode(network: nn.Module) -> Iterator[None]:
    """Eval mode inside, and every module's own mode back outside, also when some were frozen in eval mode."""
    modes = [(module, module.training) for module in network.modules()]
    network.eval()
    try:
        yield
    finally:
        for module, mode in modes:
            module.training = mode


def input_gradients(network: nn.Module, pixels: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """Gradient (N, C, H, W) of each image's target logit with respect to its pixels, and the logits (N, classes).

    In eval mode: batch-norm statistics, parameter gradients and the modules' modes stay untouched.
    """
    with evaluation_mode(network), torch.enable_grad():
        pixels = pixels.detach().requires_grad_()
        logits: Tensor = network(pixels)
        (gradients,) = torch.autograd.grad(logits.gather(1, targets[:, None]).sum(), pixels)
    return gradients, logits.detach()


def smooth_maps(gradients: Tensor) -> Tensor:
    """Gradients (N, C, H, W) to maps (N, H, W): absolute, mean over channels, 3×3 mean over the pixels that exist."""
    magnitude = gradients.abs().float().mean(1, keepdim=True)
    return F.avg_pool2d(magnitude, 3, stride=1, padding=1, count_include_pad=False)[:, 0]


def strengths(maps: Tensor, rule: FeatOutConfig) -> Tensor:
    """Maps (N, H, W) to strengths (N, H, W) in [0, 1] with which each pixel is replaced by the fill; 0 for flat
    maps."""
    if rule.variant == "single":
        return _square_strengths(maps, rule)
    return _disk_strengths(maps, rule)


def _grids(maps: Tensor) -> tuple[Tensor, Tensor]:
    height, width = maps.shape[1:]
    rows = torch.arange(height, device=maps.device).view(1, height, 1)
    columns = torch.arange(width, device=maps.device).view(1, 1, width)
    return rows, columns


def _has_peak(maps: Tensor) -> Tensor:
    """(N,) bool: whether the map has a maximum to speak of."""
    low, peak = maps.flatten(1).aminmax(dim=1)
    return torch.isfinite(peak) & (peak > 0) & (peak - low > FLAT * peak)


def _argmax(maps: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Value, row and column of each map's maximum, each (N, 1, 1); the first in reading order if several are equal."""
    width = maps.shape[2]
    values, index = maps.flatten(1).max(1)
    return values.view(-1, 1, 1), (index // width).view(-1, 1, 1), (index % width).view(-1, 1, 1)


def _square_strengths(maps: Tensor, rule: FeatOutConfig) -> Tensor:
    rows, columns = _grids(maps)
    reach = square_half_side(maps.shape[1], maps.shape[2], rule)
    _, row, column = _argmax(maps)
    inside = ((rows - row).abs() <= reach) & ((columns - column).abs() <= reach)
    return (inside & _has_peak(maps).view(-1, 1, 1)).to(maps.dtype)


def _disk_strengths(maps: Tensor, rule: FeatOutConfig) -> Tensor:
    height, width = maps.shape[1:]
    rows, columns = _grids(maps)
    exclusion = rule.exclusion_share * height * width / (rule.patches * math.pi)
    r_max_squared = rule.removal_share * height * width / (rule.patches * math.pi)
    table = lattice_counts(math.ceil(math.sqrt(r_max_squared)) + 1)
    reaches, counts = (torch.from_numpy(values).to(maps.device) for values in table)
    useful = _has_peak(maps).view(-1, 1, 1)
    left = torch.where(useful, maps, -1.0)
    peak = left.flatten(1).amax(1).view(-1, 1, 1)
    strength = torch.zeros_like(maps)
    for _ in range(rule.patches):
        value, row, column = _argmax(left)
        intensity = torch.where(value > 0, value.double() / peak.double(), 0.0)
        # The largest lattice disk of at most that area: see phototriage.saliency.masks.disk_reach.
        area = math.pi * r_max_squared * intensity**2 * ROUNDING
        fitting = torch.searchsorted(counts.double(), area, right=True)
        reach = torch.where(fitting > 0, reaches[(fitting - 1).clamp_min(0)], -1)
        squared = (rows - row) ** 2 + (columns - column) ** 2
        removed = torch.where(squared <= reach, intensity.to(maps.dtype), 0.0)
        strength = torch.maximum(strength, removed)
        left = left.masked_fill(squared <= exclusion, -1.0)
    return strength


def box_blur(pixels: Tensor, side: int) -> Tensor:
    """Mean over a side×side box (odd) of the pixels that exist, at a cost that doesn't grow with the side."""
    for dimension in (2, 3):
        length, reach = pixels.shape[dimension], side // 2
        rows = dimension == 2
        # Running sums from zero; beyond the image's edges they stay as they are there.
        sums = F.pad(pixels.cumsum(dimension), (0, 0, 1, 0) if rows else (1, 0))
        sums = F.pad(sums, (0, 0, reach, reach) if rows else (reach, reach, 0, 0), mode="replicate")
        window = sums.narrow(dimension, side, length) - sums.narrow(dimension, 0, length)
        index = torch.arange(length, device=pixels.device)
        count = (index + reach + 1).clamp_max(length) - (index - reach).clamp_min(0)
        pixels = window / count.view((length, 1) if rows else (length,))
    return pixels


def fill_for(pixels: Tensor, rule: FeatOutConfig) -> Tensor:
    """What removed parts become: the image's blur, its mean colour, or black. Broadcasts to (N, C, H, W)."""
    if rule.fill == "blur":
        side = max(3, 2 * round((rule.blur_share * math.sqrt(pixels.shape[2] * pixels.shape[3]) - 1) / 2) + 1)
        return box_blur(pixels, side)
    if rule.fill == "mean":
        return pixels.mean((2, 3), keepdim=True)
    return torch.zeros_like(pixels[:, :, :1, :1])


def remove(pixels: Tensor, strength: Tensor, rule: FeatOutConfig) -> Tensor:
    """Pixels (N, C, H, W) with each pixel moved to the fill by its strength (N, H, W)."""
    return torch.lerp(pixels, fill_for(pixels, rule).expand_as(pixels), strength[:, None].to(pixels.dtype))


@dataclass(frozen=True)
class FeatOut:
    """What the training loop applies to a batch. `probability`: the share of images that is treated; the others
    stay clean, as in Random Erasing, and cost no saliency pass."""

    rule: FeatOutConfig
    probability: float

    def __call__(
        self, network: nn.Module, pixels: Tensor, labels: Tensor, patches: int, generator: torch.Generator
    ) -> Tensor:
        """The batch with the parts removed that the current network relies on for the true class, in a random
        `probability` of the images, if the network is right about them. Always from the unmodified image."""
        if patches == 0:
            return pixels
        treated = torch.rand(len(pixels), generator=generator) < self.probability
        chosen = treated.nonzero()[:, 0].to(pixels.device)
        if len(chosen) == 0:
            return pixels
        rule = self.rule.model_copy(update={"patches": patches})
        originals = pixels[chosen]
        gradients, logits = input_gradients(network, originals, labels[chosen])
        right = (logits.argmax(1) == labels[chosen]).view(-1, 1, 1)
        strength = strengths(smooth_maps(gradients), rule) * right
        result = pixels.clone()
        result[chosen] = remove(originals, strength, rule)
        return result
