"""A convolutional autoencoder with a real bottleneck: what it can't draw again is unusual, or of poor quality."""

from __future__ import annotations

from typing import Literal, NamedTuple

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn

from training.ssim import ssim

STEPS = 4  # by each of which the encoder halves the sides
MULTIPLE = 2**STEPS


class AutoencoderSpec(BaseModel):
    """What is needed to build an autoencoder again before its weights are loaded."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    size: int = Field(ge=MULTIPLE, multiple_of=MULTIPLE)
    channels: Literal[1, 3] = 3
    latent: int = Field(default=64, ge=1)
    width: int = Field(default=32, ge=1)  # channels behind the first convolution; they double up to four times that


class Reconstruction(NamedTuple):
    """pixels (N, C, H, W) and latent (N, D), both in [0, 1]."""

    pixels: Tensor
    latent: Tensor


class Errors(NamedTuple):
    """Of each image (N,): mean absolute difference of pixels in [0, 1], and structural similarity."""

    l1: Tensor
    ssim: Tensor


class Autoencoder(nn.Module):
    """Pixels (N, C, H, W) in [0, 1] → their reconstruction from `latent` numbers in [0, 1]."""

    def __init__(self, spec: AutoencoderSpec) -> None:
        super().__init__()
        self.spec = spec
        widths = [spec.width * min(2**step, 4) for step in range(STEPS)]
        side = spec.size // MULTIPLE
        encoder: list[nn.Module] = []
        for inputs, outputs in zip([spec.channels, *widths], widths, strict=False):
            for first, stride in ((inputs, 2), (outputs, 1)):
                encoder += [nn.Conv2d(first, outputs, 3, stride, 1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU()]
        # A sigmoid bounds the latent, so that distances are comparable and its sum can be normalised to 1; the norm
        # before it keeps it from sticking at 0 or 1.
        last = [nn.Linear(widths[-1] * side * side, spec.latent, bias=False), nn.BatchNorm1d(spec.latent), nn.Sigmoid()]
        self.encoder = nn.Sequential(*encoder, nn.Flatten(), *last)
        decoder: list[nn.Module] = [nn.Linear(spec.latent, widths[-1] * side * side), nn.ReLU()]
        decoder.append(nn.Unflatten(1, (widths[-1], side, side)))
        backwards = widths[::-1]
        for inputs, outputs in zip(backwards, [*backwards[1:], spec.width], strict=True):
            # Nearest neighbours and a convolution: a transposed convolution leaves a chequerboard.
            decoder += [nn.Upsample(scale_factor=2, mode="nearest"), nn.Conv2d(inputs, outputs, 3, 1, 1, bias=False)]
            decoder += [nn.BatchNorm2d(outputs), nn.ReLU()]
        self.decoder = nn.Sequential(*decoder, nn.Conv2d(spec.width, spec.channels, 3, 1, 1), nn.Sigmoid())

    def forward(self, pixels: Tensor) -> Reconstruction:
        latent = self.encoder(pixels)
        return Reconstruction(self.decoder(latent), latent)


def errors(reconstructed: Tensor, pixels: Tensor) -> Errors:
    """How far the reconstruction (N, C, H, W) is from the pixels, image by image."""
    return Errors((reconstructed - pixels).abs().mean((1, 2, 3)), ssim(reconstructed, pixels))


class Measured(nn.Module):
    """The graph that is exported: `images` uint8 (N, H, W, C) → latent (N, D), errors (N, 2): L1, and 1 − SSIM."""

    def __init__(self, network: Autoencoder) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        pixels = images.permute(0, 3, 1, 2).float() / 255
        reconstruction = self.network(pixels)
        found = errors(reconstruction.pixels, pixels)
        return reconstruction.latent, torch.stack([found.l1, 1 - found.ssim], dim=1)
