"""The command line of `training.embedder.job`, and what follows from it."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from pydantic import Field

from phototriage.images.input_config import InputConfig
from training.data.square_input import square_input
from training.embedder.fit import EmbedderSettings
from training.loop.options import TrainingOptions, chosen, compute_of, parse_training, training_parser
from training.networks.embedder import EmbedderSpec

MULTIPLE = 32
# Settings that are options of the same name.
FIT = (
    *("epochs", "small_epochs", "small_size", "triplet_epochs", "frozen_stages", "hard_negative_pairs"),
    *("learning_rate", "entropy", "temperature", "margin", "seed"),
)


class EmbedderOptions(TrainingOptions):
    """The command line."""

    network: EmbedderSpec
    size: int = Field(ge=MULTIPLE, multiple_of=MULTIPLE)
    val_keys: str | None
    leave_out: str | None
    kind_by: str | None
    val_photos: int = Field(ge=2)
    aim: str
    fit: EmbedderSettings

    @property
    def rule(self) -> InputConfig:
        """How the network is fed: squares, nothing left out."""
        return square_input(self.size)


def parse(arguments: Sequence[str] | None = None) -> tuple[argparse.Namespace, EmbedderOptions]:
    """Command line to options; exits with usage on nonsense."""
    parser = training_parser(
        "embedder",
        "Train an embedder that tells reposts of one photo from photos that look alike.",
        images="photos",
        quick="one epoch of each loss at 128 px with six stages frozen: minutes",
    )
    parser.set_defaults(learning_rate=4e-4)
    add = parser.add_argument
    add("--data", type=Path, nargs="+", required=True, help="folders or tars of photos; classes are ignored")
    add("--group-by", metavar="REGEX", help="photos whose names give the same match are never called different")
    add("--val-keys", metavar="REGEX", help="validate on photos whose source/name matches (default: a tenth, by hash)")
    add("--leave-out", metavar="REGEX", help="photos whose source/name matches take no part: a test set of your own")
    add("--kind-by", metavar="REGEX", help="validation's hard negatives give the same match, such as a type of room")
    add("--val-photos", type=int, default=300, help="at most so many, drawn")
    add("--aim", default="f1", help="of the threshold: f1, or precision=P")
    add("--dimension", type=int, default=256)
    add("--size", type=int, help="input side in pixels (default: 224)")
    add("--epochs", type=int, default=7)
    add("--small-epochs", type=int, default=5, help="how many of them, from the first, at --small-size")
    add("--small-size", type=int, default=160)
    add("--triplet-epochs", type=int, default=1, help="how many of them, from the last, with the triplet loss")
    add("--frozen-stages", type=int, default=4, help="how many of the backbone's 9 stages keep their weights")
    add(
        "--hard-negative-pairs",
        "--couples",
        type=int,
        default=12,
        help="of a photo and one that looks like it, in a batch; a photo comes in three views",
    )
    add("--entropy", type=float, default=3.0, help="weight of the term that spreads photos out")
    add("--temperature", type=float, default=0.05)
    add("--margin", type=float, default=0.3, help="of the triplet loss, in cosine distance")
    return parse_training(parser, arguments, _options)


def _options(given: argparse.Namespace) -> EmbedderOptions:
    quick = {"epochs": 2, "small_epochs": 0, "frozen_stages": 6} if given.quick else {}
    fit = {name: getattr(given, name) for name in FIT} | {"bf16": compute_of(given).bf16}
    if given.small_size % MULTIPLE:
        raise ValueError(f"--small-size {given.small_size}: the backbone takes multiples of {MULTIPLE}")
    return EmbedderOptions(
        **chosen(given, "val_keys", "leave_out", "kind_by", "val_photos", "aim"),
        network=EmbedderSpec(dimension=given.dimension),
        size=given.size or (128 if given.quick else 224),
        fit=EmbedderSettings.model_validate(fit | quick),
    )
