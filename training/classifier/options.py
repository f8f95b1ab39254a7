"""The command line of `training.classifier.job`, and what follows from it."""

from __future__ import annotations

import argparse
import platform
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Literal, get_args

import torch
from pydantic import BaseModel, ConfigDict, ValidationError

from phototriage.images.input_config import Aspect, Colour, InputConfig
from phototriage.model_folder.manifest import Name
from phototriage.saliency.featout_config import FeatOutConfig
from training.classifier.fit import FitSettings
from training.loop.run import RUNS
from training.networks.classifier import Trunk

SIZES: dict[Trunk, int] = {"efficientnet_lite0": 224, "mobilenet_v3_small": 224, "small_cnn": 32}
MULTIPLES: dict[Trunk, int] = {"efficientnet_lite0": 32, "mobilenet_v3_small": 32, "small_cnn": 8}


Weights = Literal["packaged", "torchvision", "none"]


class Options(BaseModel):
    """The command line, with what depends on the trunk filled in. Decides, with the data, what comes out."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: Name
    trunk: Trunk
    weights: Weights
    size: int
    colour: Colour
    aspect: Aspect
    licence: str
    group_by: str | None
    fit: FitSettings

    @property
    def rule(self) -> InputConfig:
        """How the network is fed, in training's evaluation as in serving."""
        return InputConfig(
            height=self.size,
            width=self.size,
            colour=self.colour,
            resize="bicubic",
            antialias=True,
            aspect=self.aspect,
        )


def parse(arguments: Sequence[str] | None = None) -> tuple[argparse.Namespace, Options]:
    """Command line to options; exits with usage on nonsense."""
    parser = argparse.ArgumentParser(
        prog="python -m training.classifier",
        description="Train a classifier on a folder or tar of class sub-folders.",
    )
    add = parser.add_argument
    add("--data", type=Path, required=True, help="folder or tar of class/image, or of split/class/image")
    add("--name", required=True, help="of the run and of the model: lower case, digits, _ . -")
    add("--licence", default="not stated", help="of the images; it goes into the model's card")
    add("--group-by", metavar="REGEX", help="images whose names give the same match stay in one split")
    add("--trunk", choices=list(SIZES), default="efficientnet_lite0")
    add(
        "--weights",
        choices=get_args(Weights),
        help="default: packaged for efficientnet_lite0",
    )
    add("--size", type=int, help="input side in pixels (default: 224, small_cnn 32)")
    add("--colour", choices=["rgb", "grey"], default="rgb")
    add(
        "--aspect",
        choices=["stretch", "crop", "pad"],
        default="stretch",
        help="how other proportions are fitted in",
    )
    add("--epochs", type=int, help="default: 6, from scratch 30")
    add("--batch-size", type=int, default=32)
    add("--rate", type=float, help="highest learning rate (default: 5e-4, from scratch 3e-3)")
    add(
        "--frozen-stages",
        type=int,
        help="how many stages keep their weights (default: 4 of 9, from scratch 0)",
    )
    add(
        "--featout",
        choices=["none", "single", "multi"],
        default="multi",
        help="what is hidden while it learns",
    )
    add("--patches", type=int, default=5, help="of FeatOut multi in the last epoch")
    add("--removal-share", type=float, default=0.35, help="of the area, at most, by FeatOut multi")
    add("--fill", choices=["blur", "mean", "black"], default="blur", help="what hidden parts become")
    add("--random-erasing", action="store_true", help="Random Erasing in place of FeatOut")
    add("--no-augmentation", action="store_true")
    add("--precision", choices=["auto", "float32", "bf16"], default="auto")
    add("--seed", type=int, default=0)
    add("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    add("--workers", type=int, default=1, help="processes that load images (0: none)")
    add("--runs", type=Path, default=RUNS)
    add(
        "--quick",
        action="store_true",
        help="three epochs at 128 px with six stages frozen: minutes on two cores",
    )
    add("--restart", action="store_true", help="throw an earlier run of this name away")
    add("--skip-test", action="store_true", help="leave the test split unseen, to compare settings")
    given = parser.parse_args(arguments)
    given.command = recorded_command("classifier", sys.argv[1:] if arguments is None else arguments, [given.data])
    try:
        return given, _options(given)
    except (ValidationError, ValueError) as error:
        parser.error(str(error))


LOCAL = {"--runs": 1, "--workers": 1, "--device": 1, "--restart": 0, "--skip-test": 0}  # how many values each takes


def recorded_command(module: str, arguments: Sequence[str], data: Sequence[Path]) -> str:
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
    return shlex.join(["python", "-m", f"training.{module}", *kept])


def _options(given: argparse.Namespace) -> Options:
    trunk: Trunk = given.trunk
    weights: Weights = given.weights or ("packaged" if trunk == "efficientnet_lite0" else "none")
    if weights == "packaged" and trunk != "efficientnet_lite0":
        raise ValueError(f"--weights packaged: only efficientnet_lite0 has them, not {trunk}")
    if weights == "torchvision" and trunk != "mobilenet_v3_small":
        raise ValueError(f"--weights torchvision: only mobilenet_v3_small takes them, not {trunk}")
    scratch = weights == "none"
    small = given.quick and trunk != "small_cnn"
    size = given.size or (128 if small else SIZES[trunk])
    if size % MULTIPLES[trunk] or size < MULTIPLES[trunk]:
        raise ValueError(f"--size {size}: {trunk} takes multiples of {MULTIPLES[trunk]}")
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
        name=given.name,
        trunk=trunk,
        weights=weights,
        size=size,
        colour=given.colour,
        aspect=given.aspect,
        licence=given.licence,
        group_by=given.group_by,
        fit=FitSettings(
            epochs=given.epochs or (3 if given.quick else 30 if scratch else 6),
            batch_size=given.batch_size,
            rate=given.rate or (3e-3 if scratch else 5e-4),
            frozen_stages=frozen,
            frozen_norms=not scratch,
            erasing="random" if given.random_erasing else "featout" if rule else "none",
            featout=rule,
            augmentation=not given.no_augmentation,
            bf16=use_bf16(given.precision, torch.device(given.device)),
            seed=given.seed,
        ),
    )


def use_bf16(precision: str, device: torch.device) -> bool:
    """Whether to compute in bfloat16: as asked, or where the hardware does."""
    if precision != "auto":
        return precision == "bf16"
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    capabilities = torch.cpu.get_capabilities()
    return bool(capabilities.get("avx512_bf16") or capabilities.get("amx_bf16"))


def hardware(device: torch.device) -> str:
    """What computed: processor or GPU, and how many cores."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    name = torch.cpu.get_capabilities().get("cpu_name") or platform.processor() or platform.machine()
    return f"{name}, {torch.get_num_threads()} threads"
