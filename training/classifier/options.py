"""The command line of `training.classifier.job`, and what follows from it."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Literal, get_args

from pydantic import AliasChoices, Field

from phototriage.images.input_config import Aspect, Colour, InputConfig
from phototriage.saliency.featout_config import FeatOutConfig
from training.classifier.fit import FitSettings
from training.data.square_input import square_input
from training.loop.options import (
    TrainingOptions,
    add_input_options,
    chosen,
    compute_of,
    parse_training,
    training_parser,
)
from training.networks.backbones import BackboneName

SIZES: dict[BackboneName, int] = {"efficientnet_lite0": 224, "mobilenet_v3_small": 224, "small_cnn": 32}
MULTIPLES: dict[BackboneName, int] = {"efficientnet_lite0": 32, "mobilenet_v3_small": 32, "small_cnn": 8}


Weights = Literal["packaged", "torchvision", "none"]


class Options(TrainingOptions):
    """The command line, with what depends on the backbone filled in."""

    backbone: BackboneName = Field(validation_alias=AliasChoices("backbone", "trunk"))
    weights: Weights
    size: int
    colour: Colour
    aspect: Aspect
    fit: FitSettings

    @property
    def rule(self) -> InputConfig:
        """How the network is fed, in training's evaluation as in serving."""
        return square_input(self.size, colour=self.colour, aspect=self.aspect)


def parse(arguments: Sequence[str] | None = None) -> tuple[argparse.Namespace, Options]:
    """Command line to options; exits with usage on nonsense."""
    parser = training_parser(
        "classifier",
        "Train a classifier on a folder or tar of class sub-folders.",
        images="images",
        quick="three epochs at 128 px with six stages frozen: minutes on two cores",
    )
    add_input_options(parser)
    add = parser.add_argument
    add("--data", type=Path, required=True, help="folder or tar of class/image, or of split/class/image")
    add("--backbone", "--trunk", choices=list(SIZES), default="efficientnet_lite0")
    add("--weights", choices=get_args(Weights), help="default: packaged for efficientnet_lite0")
    add("--size", type=int, help="input side in pixels (default: 224, small_cnn 32)")
    add("--epochs", type=int, help="default: 6, from scratch 30; the learning rate then is 5e-4, from scratch 3e-3")
    add("--batch-size", type=int, default=32)
    add("--frozen-stages", type=int, help="how many stages keep their weights (default: 4 of 9, from scratch 0)")
    add("--featout", choices=["none", "single", "multi"], default="multi", help="what is hidden while it learns")
    add("--patches", type=int, default=5, help="of FeatOut multi in the last epoch")
    add("--removal-share", type=float, default=0.35, help="of the area, at most, by FeatOut multi")
    add("--fill", choices=["blur", "mean", "black"], default="blur", help="what hidden parts become")
    add("--random-erasing", action="store_true", help="Random Erasing in place of FeatOut")
    add("--no-augmentation", action="store_true")
    return parse_training(parser, arguments, _options)


def _options(given: argparse.Namespace) -> Options:
    backbone: BackboneName = given.backbone
    weights: Weights = given.weights or ("packaged" if backbone == "efficientnet_lite0" else "none")
    if weights == "packaged" and backbone != "efficientnet_lite0":
        raise ValueError(f"--weights packaged: only efficientnet_lite0 has them, not {backbone}")
    if weights == "torchvision" and backbone != "mobilenet_v3_small":
        raise ValueError(f"--weights torchvision: only mobilenet_v3_small takes them, not {backbone}")
    scratch = weights == "none"
    small = given.quick and backbone != "small_cnn"
    size = given.size or (128 if small else SIZES[backbone])
    if size % MULTIPLES[backbone] or size < MULTIPLES[backbone]:
        raise ValueError(f"--size {size}: {backbone} takes multiples of {MULTIPLES[backbone]}")
    if given.random_erasing and given.featout == "multi":
        given.featout = "none"
    if given.random_erasing and given.featout != "none":
        raise ValueError("--random-erasing and --featout exclude each other")
    rule = (
        FeatOutConfig(variant=given.featout, patches=given.patches, removal_share=given.removal_share, fill=given.fill)
        if given.featout != "none"
        else None
    )
    frozen = given.frozen_stages if given.frozen_stages is not None else 0 if scratch else 6 if small else 4
    return Options(
        **chosen(given, "backbone", "colour", "aspect"),
        weights=weights,
        size=size,
        fit=FitSettings(
            epochs=given.epochs or (3 if given.quick else 30 if scratch else 6),
            batch_size=given.batch_size,
            learning_rate=given.learning_rate or (3e-3 if scratch else 5e-4),
            frozen_stages=frozen,
            frozen_norms=not scratch,
            erasing="random" if given.random_erasing else "featout" if rule else "none",
            featout=rule,
            augmentation=not given.no_augmentation,
            bf16=compute_of(given).bf16,
            seed=given.seed,
        ),
    )
