"""The command line of `training.autoencoder.job`, and what follows from it."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Literal, get_args

import torch
from pydantic import BaseModel, ConfigDict, ValidationError

from phototriage.images.input_config import Aspect, Colour, InputConfig
from phototriage.model_folder.manifest import Name
from training.autoencoder.fit import AutoencoderSettings
from training.classifier.options import recorded_command, use_bf16
from training.loop.run import RUNS
from training.networks.autoencoder import AutoencoderSpec
from training.networks.ssim import WINDOW
from training.references.options import add_reference_options, check_reference_options

QUICK_EPOCHS = 5

Classes = Literal["references", "labels", "ignored"]


class AutoencoderOptions(BaseModel):
    """The command line. Decides, with the images, what comes out."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: Name
    network: AutoencoderSpec
    colour: Colour
    aspect: Aspect
    licence: str
    group_by: str | None
    classes: Classes
    references: tuple[int, int, int]  # random seeds, epochs and input side of reference networks
    fit: AutoencoderSettings

    @property
    def rule(self) -> InputConfig:
        """How the network is fed, in training as in serving."""
        side = self.network.size
        return InputConfig(
            height=side, width=side, colour=self.colour, resize="bilinear", antialias=True, aspect=self.aspect
        )


def parse(arguments: Sequence[str] | None = None) -> tuple[argparse.Namespace, AutoencoderOptions]:
    """Command line to options; exits with usage on nonsense."""
    parser = argparse.ArgumentParser(
        prog="python -m training.autoencoder",
        description="Train an autoencoder whose errors and latent tell how unusual an image is.",
    )
    add = parser.add_argument
    add("--data", type=Path, required=True, help="folder or tar of images, with or without classes")
    add("--name", required=True, help="of the run and of the model: lower case, digits, _ . -")
    add("--licence", default="not stated", help="of the images; it goes into the model's card")
    add("--group-by", metavar="REGEX", help="images whose names give the same match stay in one split")
    add("--size", type=int, default=64, help="input side in pixels, a multiple of 16")
    add("--latent", type=int, default=64, help="numbers in the bottleneck")
    add("--width", type=int, default=16, help="channels behind the first convolution")
    add("--colour", choices=["rgb", "grey"], default="rgb")
    add("--aspect", choices=["stretch", "crop", "pad"], default="stretch", help="how other proportions are fitted in")
    add("--epochs", type=int, default=60)
    add("--batch-size", type=int, default=64)
    add("--rate", type=float, default=2e-3, help="highest learning rate")
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
    add("--precision", choices=["auto", "float32", "bf16"], default="auto")
    add("--seed", type=int, default=0)
    add("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    add("--workers", type=int, default=1, help="processes that decode images (0: none)")
    add("--runs", type=Path, default=RUNS)
    add("--quick", action="store_true", help=f"{QUICK_EPOCHS} epochs")
    add("--restart", action="store_true", help="throw an earlier run of this name away")
    add("--skip-test", action="store_true", help="leave the test split unseen, to compare settings")
    given = parser.parse_args(arguments)
    given.command = recorded_command("autoencoder", sys.argv[1:] if arguments is None else arguments, [given.data])
    try:
        return given, _options(given)
    except (ValidationError, ValueError) as error:
        parser.error(str(error))


def _options(given: argparse.Namespace) -> AutoencoderOptions:
    check_reference_options(given)
    if given.size < WINDOW:
        raise ValueError(f"--size {given.size}: SSIM looks at windows of {WINDOW} pixels")
    return AutoencoderOptions(
        name=given.name,
        network=AutoencoderSpec(
            size=given.size, channels=3 if given.colour == "rgb" else 1, latent=given.latent, width=given.width
        ),
        colour=given.colour,
        aspect=given.aspect,
        licence=given.licence,
        group_by=given.group_by,
        classes=given.classes,
        references=(given.seeds, given.reference_epochs, given.reference_size),
        fit=AutoencoderSettings(
            epochs=QUICK_EPOCHS if given.quick else given.epochs,
            batch_size=given.batch_size,
            rate=given.rate,
            augmentation=not given.no_augmentation,
            mirrored=not given.no_mirror,
            class_weight=0 if given.classes == "ignored" else given.class_weight,
            bf16=use_bf16(given.precision, torch.device(given.device)),
            seed=given.seed,
        ),
    )
