"""A convolutional autoencoder with a real bottleneck: what it can't draw again is unusual, or of poor quality."""

from __future__ import annotations

from itertools import pairwise
from typing import Literal, NamedTuple

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn

from training.networks.backbones import read_old_names
from training.networks.ssim import ssim

MULTIPLE = 2**4  # the encoder halves the sides four times


class AutoencoderSpec(BaseModel):
    """What is needed to build an autoencoder again before its weights are loaded."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    size: int = Field(ge=MULTIPLE, multiple_of=MULTIPLE)
    channels: Literal[1, 3] = 3
    latent: int = Field(default=64, ge=4)
    width: int = Field(default=16, ge=1)  # channels behind the first convolution; they double up to four times that

    @property
    def global_latent(self) -> int:
        """How many of the latent's numbers, its first, say what is anywhere in the image."""
        return self.latent // 4


class Reconstruction(NamedTuple):
    """pixels (N, C, H, W) and latent (N, D), both in [0, 1]."""

    pixels: Tensor
    latent: Tensor


class Errors(NamedTuple):
    """Of each image (N,): mean absolute difference of pixels in [0, 1], and structural similarity."""

    l1: Tensor
    ssim: Tensor


class Autoencoder(nn.Module):
    """Pixels (N, C, H, W) in [0, 1] → their reconstruction from `latent` numbers in [0, 1].

    The first `spec.global_latent` of these come from features averaged over the image, which tell what is in it; the
    others from where the features are.
    """

    def __init__(self, spec: AutoencoderSpec) -> None:
        super().__init__()
        self.spec = spec
        widths = [spec.width, 2 * spec.width, 4 * spec.width]
        side = spec.size // MULTIPLE
        self.backbone = nn.Sequential(
            *(layer for inputs, outputs in pairwise([spec.channels, *widths]) for layer in _stage(inputs, outputs))
        )
        self.everywhere = nn.Linear(widths[-1], spec.global_latent, bias=False)
        self.placed = nn.Sequential(
            *_conv(widths[-1], widths[-1], stride=2),
            nn.Flatten(),
            nn.Linear(widths[-1] * side * side, spec.latent - spec.global_latent, bias=False),
        )
        # A sigmoid bounds the latent, so that distances are comparable and its sum can be normalised to 1; the norm
        # before it keeps it from sticking at 0 or 1.
        self.bound = nn.Sequential(nn.BatchNorm1d(spec.latent), nn.Sigmoid())
        decoder: list[nn.Module] = [nn.Linear(spec.latent, widths[-1] * side * side), nn.ReLU()]
        decoder.append(nn.Unflatten(1, (widths[-1], side, side)))
        backwards = [widths[-1], *widths[::-1], spec.width]
        for inputs, outputs in pairwise(backwards):
            # Nearest neighbours and a convolution: a transposed convolution leaves a chequerboard.
            decoder += [nn.Upsample(scale_factor=2, mode="nearest"), *_conv(inputs, outputs)]
        self.decoder = nn.Sequential(*decoder, nn.Conv2d(spec.width, spec.channels, 3, 1, 1), nn.Sigmoid())
        read_old_names(self)

    def encoder(self, pixels: Tensor) -> Tensor:
        """Latent (N, D)."""
        maps = self.backbone(pixels * 4 - 2)  # about zero mean and unit deviation for photos
        latent: Tensor = self.bound(torch.cat([self.everywhere(maps.mean((2, 3))), self.placed(maps)], dim=1))
        return latent

    def forward(self, pixels: Tensor) -> Reconstruction:
        latent = self.encoder(pixels)
        return Reconstruction(self.decoder(latent), latent)


def _conv(inputs: int, outputs: int, stride: int = 1) -> list[nn.Module]:
    return [nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU()]


def _stage(inputs: int, outputs: int) -> list[nn.Module]:
    return [*_conv(inputs, outputs), *_conv(outputs, outputs), nn.MaxPool2d(2)]


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
