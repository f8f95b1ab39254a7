"""A training run's folder, `runs/NAME/`: what the training leaves and the export takes up."""

from __future__ import annotations

import platform
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from pydantic import BaseModel, ConfigDict, ValidationError

from phototriage.errors import PhototriageError
from phototriage.featout_rule import FeatOutRule
from phototriage.input_rule import InputRule
from phototriage.manifest import Data, Metric, Name, Training
from training.networks import Classifier, NetworkSpec

RUNS = Path("runs")


class RunError(PhototriageError):
    """A run folder that is missing, unfinished or of another format."""

    code = "training_run"
    title = "The training run can't be used"


class ClassifierRun(BaseModel):
    """`runs/NAME/run.json`: all that the export writes into the manifest. The weights lie beside it in `best.pt`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: Name
    network: NetworkSpec
    input: InputRule
    labels: tuple[str, ...]
    featout: FeatOutRule | None
    metrics: tuple[Metric, ...]
    data: Data
    training: Training


def write_atomically(path: Path, state: dict[str, Any]) -> None:
    """`torch.save` to a temporary name, then rename: a reader never sees half a file."""
    part = path.with_name(path.name + ".part")
    torch.save(state, part)
    part.replace(path)


def write_run(run: ClassifierRun, folder: Path) -> None:
    """Write `run.json`, the last file of a finished training."""
    part = folder / "run.json.part"
    part.write_text(run.model_dump_json(indent=2) + "\n", encoding="utf-8")
    part.replace(folder / "run.json")


def read_run(folder: Path) -> tuple[ClassifierRun, Classifier]:
    """The finished run and its trained network in eval mode on the CPU. RunError if it isn't finished."""
    try:
        run = ClassifierRun.model_validate_json((folder / "run.json").read_bytes())
    except FileNotFoundError:
        raise RunError(f"{folder} holds no finished training: run `python -m training.classifier` first") from None
    except ValidationError as error:
        raise RunError(f"{folder / 'run.json'} doesn't fit this version: {error}") from error
    network = Classifier(run.network)
    network.load_state_dict(torch.load(folder / "best.pt", map_location="cpu", weights_only=True))
    return run, network.eval()


def package_versions() -> dict[str, str]:
    """Versions of what decides the result."""
    names = ("torch", "torchvision", "numpy", "pillow", "onnx", "onnxscript", "scikit-learn")
    return {"python": platform.python_version()} | {name: version(name) for name in names}
