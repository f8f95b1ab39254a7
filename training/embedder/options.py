"""The command line of `training.embedder.job`, and what follows from it."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import torch
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from phototriage.images.input_config import InputConfig
from phototriage.model_folder.manifest import Name
from training.classifier.options import recorded_command, use_bf16
from training.embedder.fit import EmbedderSettings
from training.loop.run import RUNS
from training.networks.embedder import EmbedderSpec

MULTIPLE = 32


class EmbedderOptions(BaseModel):
    """The command line. Decides, with the photos, what comes out."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: Name
    network: EmbedderSpec
    size: int = Field(ge=MULTIPLE, multiple_of=MULTIPLE)
    licence: str
    group_by: str | None
    val_keys: str | None
    leave_out: str | None
    kind_by: str | None
    val_photos: int = Field(ge=2)
    aim: str
    fit: EmbedderSettings

    @property
    def rule(self) -> InputConfig:
        """How the network is fed: squares, nothing left out."""
        return InputConfig(
            height=self.size, width=self.size, colour="rgb", resize="bicubic", antialias=True, aspect="stretch"
        )


def parse(arguments: Sequence[str] | None = None) -> tuple[argparse.Namespace, EmbedderOptions]:
    """Command line to options; exits with usage on nonsense."""
    parser = argparse.ArgumentParser(
        prog="python -m training.embedder",
        description="Train an embedder that tells reposts of one photo from photos that look alike.",
    )
    add = parser.add_argument
    add("--data", type=Path, nargs="+", required=True, help="folders or tars of photos; classes are ignored")
    add("--name", required=True, help="of the run and of the model: lower case, digits, _ . -")
    add("--licence", default="not stated", help="of the photos; it goes into the model's card")
    add("--group-by", metavar="REGEX", help="photos whose names give the same match are never called different")
    add("--val-keys", metavar="REGEX", help="validate on photos whose source/name matches (default: a tenth, by hash)")
    add("--leave-out", metavar="REGEX", help="photos whose source/name matches take no part: a test set of your own")
    add("--kind-by", metavar="REGEX", help="validation's look-alikes give the same match, such as a type of room")
    add("--val-photos", type=int, default=300, help="at most so many, drawn")
    add("--aim", default="f1", help="of the threshold: f1, or precision=P")
    add("--dimension", type=int, default=256)
    add("--size", type=int, help="input side in pixels (default: 224)")
    add("--epochs", type=int, default=7)
    add("--small-epochs", type=int, default=5, help="how many of them, from the first, at --small-size")
    add("--small-size", type=int, default=160)
    add("--triplet-epochs", type=int, default=1, help="how many of them, from the last, with the triplet loss")
    add("--frozen-stages", type=int, default=4, help="how many of the trunk's 9 stages keep their weights")
    add("--couples", type=int, default=12, help="of look-alikes in a batch; a photo comes in three views")
    add("--rate", type=float, default=4e-4)
    add("--entropy", type=float, default=3.0, help="weight of the term that spreads photos out")
    add("--temperature", type=float, default=0.05)
    add("--margin", type=float, default=0.3, help="of the triplet loss, in cosine distance")
    add("--precision", choices=["auto", "float32", "bf16"], default="auto")
    add("--seed", type=int, default=0)
    add("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    add("--workers", type=int, default=1, help="processes that draw views (0: none)")
    add("--runs", type=Path, default=RUNS)
    add("--quick", action="store_true", help="one epoch of each loss at 128 px with six stages frozen: minutes")
    add("--restart", action="store_true", help="throw an earlier run of this name away")
    given = parser.parse_args(arguments)
    given.command = recorded_command("embedder", sys.argv[1:] if arguments is None else arguments, given.data)
    try:
        return given, _options(given)
    except (ValidationError, ValueError) as error:
        parser.error(str(error))


def _options(given: argparse.Namespace) -> EmbedderOptions:
    quick = {"epochs": 2, "small_epochs": 0, "frozen_stages": 6} if given.quick else {}
    fit = {
        "epochs": given.epochs,
        "small_epochs": given.small_epochs,
        "small_size": given.small_size,
        "triplet_epochs": given.triplet_epochs,
        "frozen_stages": given.frozen_stages,
        "couples": given.couples,
        "rate": given.rate,
        "entropy": given.entropy,
        "temperature": given.temperature,
        "margin": given.margin,
        "bf16": use_bf16(given.precision, torch.device(given.device)),
        "seed": given.seed,
    }
    if given.small_size % MULTIPLE:
        raise ValueError(f"--small-size {given.small_size}: the trunk takes multiples of {MULTIPLE}")
    return EmbedderOptions(
        name=given.name,
        network=EmbedderSpec(dimension=given.dimension),
        size=given.size or (128 if given.quick else 224),
        licence=given.licence,
        group_by=given.group_by,
        val_keys=given.val_keys,
        leave_out=given.leave_out,
        kind_by=given.kind_by,
        val_photos=given.val_photos,
        aim=given.aim,
        fit=EmbedderSettings.model_validate(fit | quick),
    )
