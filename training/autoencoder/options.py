"""The command line of `training.autoencoder.job`, and what follows from it."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Literal, get_args

from phototriage.images.input_config import Aspect, Colour, InputConfig
from training.autoencoder.fit import AutoencoderSettings
from training.data.square_input import square_input
from training.loop.options import (
    TrainingOptions,
    add_input_options,
    chosen,
    compute_of,
    parse_training,
    training_parser,
)
from training.networks.autoencoder import AutoencoderSpec
from training.networks.ssim import WINDOW
from training.references.options import add_reference_options, check_reference_options

QUICK_EPOCHS = 5

Classes = Literal["references", "labels", "ignored"]


class AutoencoderOptions(TrainingOptions):
    """The command line."""

    network: AutoencoderSpec
    colour: Colour
    aspect: Aspect
    classes: Classes
    references: tuple[int, int, int]  # random seeds, epochs and input side of reference networks
    fit: AutoencoderSettings

    @property
    def rule(self) -> InputConfig:
        """How the network is fed, in training as in serving."""
        return square_input(self.network.size, colour=self.colour, resize="bilinear", aspect=self.aspect)


def parse(arguments: Sequence[str] | None = None) -> tuple[argparse.Namespace, AutoencoderOptions]:
    """Command line to options; exits with usage on nonsense."""
    parser = training_parser(
        "autoencoder",
        "Train an autoencoder whose errors and latent tell how unusual an image is.",
        images="images",
        quick=f"{QUICK_EPOCHS} epochs",
    )
    parser.set_defaults(learning_rate=2e-3)
    add_input_options(parser)
    add = parser.add_argument
    add("--data", type=Path, required=True, help="folder or tar of images, with or without classes")
    add("--size", type=int, default=64, help="input side in pixels, a multiple of 16")
    add("--latent", type=int, default=64, help="numbers in the bottleneck")
    add("--width", type=int, default=16, help="channels behind the first convolution")
    add("--epochs", type=int, default=60)
    add("--batch-size", type=int, default=64)
    add(
        "--classes",
        choices=get_args(Classes),
        default="references",
        help="what the latent learns of classes, if there are any: what reference networks that haven't seen an image "
        "say of it, its label, or nothing",
    )
    add("--class-weight", type=float, default=0.1, help="of the classes beside the mean absolute difference of pixels")
    add_reference_options(parser)
    add("--no-augmentation", action="store_true", help="no crops and tones, such as for digits")
    add("--no-mirror", action="store_true", help="never mirror images, such as digits")
    return parse_training(parser, arguments, _options)


def _options(given: argparse.Namespace) -> AutoencoderOptions:
    check_reference_options(given)
    if given.size < WINDOW:
        raise ValueError(f"--size {given.size}: SSIM looks at windows of {WINDOW} pixels")
    return AutoencoderOptions(
        **chosen(given, "colour", "aspect", "classes"),
        network=AutoencoderSpec(
            size=given.size, channels=3 if given.colour == "rgb" else 1, latent=given.latent, width=given.width
        ),
        references=(given.seeds, given.reference_epochs, given.reference_size),
        fit=AutoencoderSettings(
            epochs=QUICK_EPOCHS if given.quick else given.epochs,
            batch_size=given.batch_size,
            learning_rate=given.learning_rate,
            augmentation=not given.no_augmentation,
            mirrored=not given.no_mirror,
            class_weight=0 if given.classes == "ignored" else given.class_weight,
            bf16=compute_of(given).bf16,
            seed=given.seed,
        ),
    )
