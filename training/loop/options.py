"""The options that all commands which train have in common, and the command as a run records it."""

from __future__ import annotations

import argparse
import shlex
import sys
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import torch
from pydantic import BaseModel, ConfigDict, ValidationError

from phototriage.images.input_config import InputConfig
from phototriage.model_folder.manifest import Data, Metric, Name, Training
from training.data.dataset import Dataset
from training.data.photos import Photos
from training.loop.compute import Compute, hardware, use_bf16
from training.loop.loop import LoopSettings
from training.loop.run_folder import RUNS, package_versions

# Options that don't decide what comes out, with how many values each takes.
LOCAL = {"--runs": 1, "--models": 1, "--workers": 1, "--device": 1, "--restart": 0, "--skip-test": 0}


class TrainingOptions(BaseModel, ABC):
    """What the command line of every training has. Decides, with the images, what comes out."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: Name
    licence: str
    group_by: str | None
    fit: LoopSettings

    @property
    @abstractmethod
    def rule(self) -> InputConfig:
        """How the network is fed, in training's evaluation as in serving."""


Options = TypeVar("Options", bound=TrainingOptions)


def training_parser(kind: str, description: str, *, images: str, quick: str) -> argparse.ArgumentParser:
    """A parser of `python -m training.KIND` with what all trainings share. images: what they are called in the help;
    quick: what --quick does."""
    parser = argparse.ArgumentParser(prog=f"python -m training.{kind}", description=description)
    add = parser.add_argument
    add("--name", required=True, help="of the run and of the model: lower case, digits, _ . -")
    add("--licence", default="not stated", help=f"of the {images}; it goes into the model's card")
    add("--learning-rate", "--rate", type=float, help="the highest")
    add("--seed", type=int, default=0)
    add_compute_options(parser)
    add("--runs", type=Path, default=RUNS)
    add("--quick", action="store_true", help=quick)
    add("--restart", action="store_true", help="throw an earlier run of this name away")
    return parser


def add_compute_options(parser: argparse.ArgumentParser) -> None:
    """What `compute_of` reads."""
    add = parser.add_argument
    add("--precision", choices=["auto", "float32", "bf16"], default="auto")
    add("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    add("--workers", type=int, default=1, help="processes that load images (0: none)")


def add_input_options(parser: argparse.ArgumentParser) -> None:
    """How images of any kind are fed, and whether the test split is used."""
    add = parser.add_argument
    add("--group-by", metavar="REGEX", help="images whose names give the same match stay in one split")
    add("--colour", choices=["rgb", "grey"], default="rgb")
    add("--aspect", choices=["stretch", "crop", "pad"], default="stretch", help="how other proportions are fitted in")
    add("--skip-test", action="store_true", help="leave the test split unseen, to compare settings")


def parse_training(
    parser: argparse.ArgumentParser,
    arguments: Sequence[str] | None,
    options_of: Callable[[argparse.Namespace], Options],
) -> tuple[argparse.Namespace, Options]:
    """Command line, with `command` for the record, and the options that follow from it; exits with usage on
    nonsense."""
    given = parser.parse_args(arguments)
    paths = given.data if isinstance(given.data, list) else [given.data]
    given.command = recorded_command(parser.prog, sys.argv[1:] if arguments is None else arguments, paths)
    try:
        return given, options_of(given)
    except (ValidationError, ValueError) as error:
        parser.error(str(error))


def chosen(given: argparse.Namespace, *names: str) -> dict[str, Any]:
    """Options by name, with those that every `TrainingOptions` has."""
    return {name: getattr(given, name) for name in ("name", "licence", "group_by", *names)}


def compute_of(given: argparse.Namespace) -> Compute:
    """As --device, --workers and --precision say."""
    device = torch.device(given.device)
    return Compute(device, given.workers, use_bf16(given.precision, device))


def recorded_command(program: str, arguments: Sequence[str], data: Sequence[Path]) -> str:
    """The command for the record: without what doesn't decide the result, and with the data's base names."""
    names = {str(path): path.name for path in data if str(path) != "."}
    kept, skip = [], 0
    for argument in arguments:
        name = argument.partition("=")[0]
        if skip:
            skip -= 1
        elif name in LOCAL:
            skip = 0 if "=" in argument else LOCAL[name]
        else:
            for path, base in names.items():
                argument = argument.replace(path, base)
            kept.append(argument)
    return f"{program} {shlex.join(kept)}"


def run_fields(
    command: str, options: TrainingOptions, data: Dataset | Photos, metrics: Sequence[Metric], compute: Compute
) -> dict[str, Any]:
    """What `run.json` of every kind says: of the figures, the images, and how to make the model again."""
    return {
        "name": options.name,
        "input": options.rule,
        "metrics": tuple(metrics),
        "data": Data(name=data.name, sha256=data.sha256, licence=options.licence, images=data.counts()),
        "training": Training(
            command=command,
            settings=options.model_dump(mode="json"),
            random_seed=options.fit.seed,
            packages=package_versions(),
            hardware=hardware(compute.device),
        ),
    }
