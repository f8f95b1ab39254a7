"""Standard augmentation. Each image's draw depends on (seed, epoch, index) alone, so any worker gives the same."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor
from torchvision.transforms import RandomErasing

from phototriage.images.input_config import InputConfig
from phototriage.images.pixels import resize


@dataclass(frozen=True)
class Augmentation:
    """What varies from epoch to epoch. Shares of area for the crop, factors 1 ± x for the tones."""

    smallest_crop: float = 0.5
    aspect: float = 4 / 3
    flip: bool = True
    tone: float = 0.25

    def view(self, image: Image.Image, rule: InputConfig, rng: np.random.Generator) -> NDArray[np.uint8]:
        """A random crop of the decoded image, resized by the rule's own filter, mirrored in half of the cases.

        Returns (height, width, channels) uint8.
        """
        box = self._crop_box(image.width, image.height, rng)
        pixels = resize(image.crop(box), rule.model_copy(update={"aspect": "stretch"})).pixels
        return pixels[:, ::-1] if self.flip and rng.random() < 0.5 else pixels

    def _crop_box(self, width: int, height: int, rng: np.random.Generator) -> tuple[int, int, int, int]:
        area = width * height * rng.uniform(self.smallest_crop, 1)
        # The crop's proportions vary around the image's own: what the model sees in serving is the whole image.
        stretch = math.exp(rng.uniform(-1, 1) * math.log(self.aspect))
        scale = math.sqrt(area / (width * height))
        crop_width = max(1, min(width, round(width * scale * math.sqrt(stretch))))
        crop_height = max(1, min(height, round(height * scale / math.sqrt(stretch))))
        left = int(rng.integers(0, width - crop_width + 1))
        top = int(rng.integers(0, height - crop_height + 1))
        return left, top, left + crop_width, top + crop_height

    def tones(self, pixels: Tensor, generator: torch.Generator) -> Tensor:
        """Random brightness, contrast and saturation for each image of (N, C, H, W) in [0, 1]."""
        if self.tone == 0:
            return pixels
        draws = 1 + self.tone * (2 * torch.rand(3, len(pixels), 1, 1, 1, generator=generator) - 1)
        brightness, contrast, saturation = draws.to(pixels.device)
        pixels = pixels * brightness
        pixels = torch.lerp(pixels.mean((1, 2, 3), keepdim=True), pixels, contrast)
        pixels = torch.lerp(pixels.mean(1, keepdim=True), pixels, saturation)
        return pixels.clamp(0, 1)


def random_erasing(pixels: Tensor, generator: torch.Generator, probability: float = 0.5) -> Tensor:
    """Random Erasing (arXiv 1708.04896): in a share of the images one rectangle of 2–33 % of the area, sides 0.3–3.3,
    becomes noise. In pixel space: uniform in [0, 1]."""
    result = pixels.clone()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(int(torch.randint(2**31, (1,), generator=generator)))
        for i in range(len(pixels)):
            if torch.rand(1).item() >= probability:
                continue
            top, left, height, width, _ = RandomErasing.get_params(pixels[i], (0.02, 0.33), (0.3, 3.3), [0.0])
            noise = torch.rand(pixels.shape[1], height, width)
            result[i, :, top : top + height, left : left + width] = noise.to(pixels)
    return result
