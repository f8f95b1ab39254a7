"""A training run's folder, `runs/NAME/`: what the training leaves and the export takes up."""

from __future__ import annotations

import json
import platform
import shutil
from collections.abc import Callable, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal, TypeVar

import torch
from pydantic import BaseModel, ConfigDict, ValidationError
from torch import nn

from phototriage.common.atomic_writes import atomic_file
from phototriage.common.errors import PhototriageError
from phototriage.images.input_config import InputConfig
from phototriage.model_folder.manifest import Data, Decision, Metric, Name, Training
from phototriage.saliency.featout_config import FeatOutConfig
from training.networks.autoencoder import Autoencoder, AutoencoderSpec
from training.networks.classifier import Classifier, NetworkSpec
from training.networks.embedder import Embedder, EmbedderSpec

RUNS = Path("runs")
BEST = "best.pt"
# Settings by the names that they had before: an unfinished run of then is still one of the same settings.
OLD_NAMES = {
    "trunk": "backbone",
    "rate": "learning_rate",
    "head_rate": "head_learning_rate",
    "average": "ema_decay",
    "couples": "hard_negative_pairs",
}


class RunError(PhototriageError):
    """A run folder that is missing, unfinished or of another format."""

    code = "training_run"
    title = "The training run can't be used"


class _Run(BaseModel):
    """`runs/NAME/run.json`: all that the export writes into the manifest. The weights lie beside it in `best.pt`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: Name
    input: InputConfig
    metrics: tuple[Metric, ...]
    data: Data
    training: Training


class ClassifierRun(_Run):
    kind: Literal["classifier"] = "classifier"
    network: NetworkSpec
    labels: tuple[str, ...]
    featout: FeatOutConfig | None


class EmbedderRun(_Run):
    kind: Literal["embedder"] = "embedder"
    network: EmbedderSpec
    decision: Decision


class AutoencoderRun(_Run):
    kind: Literal["autoencoder"] = "autoencoder"
    network: AutoencoderSpec


def write_atomically(path: Path, state: dict[str, Any]) -> None:
    """`torch.save` to a temporary name, then rename: a reader never sees half a file."""
    with atomic_file(path) as part:
        torch.save(state, part)


def refuse_finished(folder: Path, *, restart: bool) -> None:
    """Raises RunError where the training is finished and isn't to restart."""
    if (folder / "run.json").exists() and not restart:
        raise RunError(f"{folder} holds a finished training: choose another --name, or --restart to train it again")


def claim_folder(folder: Path, settings: Mapping[str, Any], *, restart: bool) -> None:
    """Make a run's folder, or check that the one there is of the same settings, among them what says which data.

    They are kept in `options.json`. Raises RunError where others are there and it isn't to restart.
    """
    marker = folder / "options.json"
    fingerprint = json.dumps(settings, indent=2, sort_keys=True)
    if restart and folder.exists():
        shutil.rmtree(folder)
    if marker.exists() and _renamed(marker.read_text(encoding="utf-8")) != _renamed(fingerprint):
        raise RunError(
            f"{folder} holds an unfinished training with other settings or data: choose another --name, give the "
            f"settings that {marker} lists, or --restart"
        )
    folder.mkdir(parents=True, exist_ok=True)
    with atomic_file(marker) as part:
        part.write_text(fingerprint, encoding="utf-8")


def _renamed(fingerprint: str) -> Any:
    """The settings by today's names; None if that is no JSON."""
    try:
        return json.loads(
            fingerprint, object_hook=lambda named: {OLD_NAMES.get(name, name): value for name, value in named.items()}
        )
    except ValueError:
        return None


def write_run(run: AnyRun, folder: Path) -> None:
    """Write `run.json`, the last file of a finished training."""
    with atomic_file(folder / "run.json") as part:
        part.write_text(run.model_dump_json(indent=2) + "\n", encoding="utf-8")


AnyRun = ClassifierRun | EmbedderRun | AutoencoderRun
Network = Classifier | Embedder | Autoencoder
Run = TypeVar("Run", ClassifierRun, EmbedderRun, AutoencoderRun)
Module = TypeVar("Module", bound=nn.Module)


def read_run(folder: Path) -> tuple[ClassifierRun, Classifier]:
    """A classifier's finished run and its trained network in eval mode on the CPU. RunError if it isn't finished."""
    return _read(folder, ClassifierRun, Classifier)


def read_embedder_run(folder: Path) -> tuple[EmbedderRun, Embedder]:
    """As `read_run`, of an embedder."""
    return _read(folder, EmbedderRun, Embedder)


def read_autoencoder_run(folder: Path) -> tuple[AutoencoderRun, Autoencoder]:
    """As `read_run`, of an autoencoder."""
    return _read(folder, AutoencoderRun, Autoencoder)


def read_any_run(folder: Path) -> tuple[AnyRun, Network]:
    """Whatever `run.json` says it is."""
    try:
        kind = json.loads((folder / "run.json").read_bytes()).get("kind")
    except (OSError, ValueError, AttributeError):
        kind = None  # `read_run` tells what is wrong
    if kind == "embedder":
        return read_embedder_run(folder)
    return read_autoencoder_run(folder) if kind == "autoencoder" else read_run(folder)


def _read(folder: Path, kind: type[Run], network_of: Callable[[Any], Module]) -> tuple[Run, Module]:
    try:
        run = kind.model_validate_json((folder / "run.json").read_bytes())
    except FileNotFoundError:
        raise RunError(
            f"{folder} holds no finished training: run `python -m training.classifier` (embedder, autoencoder) first"
        ) from None
    except ValidationError as error:
        raise RunError(f"{folder / 'run.json'} doesn't fit this version: {error}") from error
    network = network_of(run.network)
    network.load_state_dict(torch.load(folder / BEST, map_location="cpu", weights_only=True))
    return run, network.eval()


def package_versions() -> dict[str, str]:
    """Versions of what decides the result."""
    names = ("torch", "torchvision", "numpy", "pillow", "onnx", "onnxscript", "pytorch-metric-learning", "scikit-learn")
    return {"python": platform.python_version()} | {name: version(name) for name in names}
