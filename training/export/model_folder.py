"""A finished training becomes a model folder that the server takes up at its next start.

    python -m training.export --name my_model [--check photos/] [--metrics measured.json]

Writes exported_models/NAME/: model.onnx, manifest.json, golden.npz, CARD.md. Writes nothing, and leaves an older
version as it is, when ONNX Runtime and torch disagree on the trained weights (`training.export.agreement`).
"""

from __future__ import annotations

import argparse
import shutil
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import onnxruntime
import torch
from pydantic import TypeAdapter, ValidationError

from phototriage.images.pixels import ImageLimits, prepare
from phototriage.model_folder import golden, manifest
from phototriage.model_folder.golden import Golden
from phototriage.model_folder.manifest import MAIN_ROLES, MainRole, Manifest, Metric, Output
from training.data.drawn_images import drawn_images
from training.data.loading import load
from training.export import autoencoder as autoencoder_export
from training.export.agreement import Agreement, Explain, Floats, Images, compare
from training.export.card import CARD, card
from training.export.models_beside import default_notes, given_up, is_default, read_if_valid, told_of, unscored
from training.export.taking_up import taking_up
from training.featout.featout import input_gradients
from training.gradient_graph.graph import build_onnx
from training.loop.command import exit_status
from training.loop.run_folder import (
    RUNS,
    AnyRun,
    AutoencoderRun,
    ClassifierRun,
    EmbedderRun,
    Network,
    RunError,
    read_any_run,
)
from training.networks.autoencoder import Autoencoder
from training.networks.classifier import Classifier
from training.networks.embedder import Embedder

MODELS = Path("exported_models")
MODEL_FILE = "model.onnx"
DRAWN, GOLDEN = 24, 4  # images for the comparison, unless --check gives photos; golden inputs


class Built(NamedTuple):
    """A graph that agrees with torch, and what belongs beside it. agreement, network: lines of the card."""

    model: bytes
    outputs: tuple[Output, ...]
    agreement: str
    network: str
    write_golden: Callable[[Path], None]


def build(run: AnyRun, network: Network, images: Images, drawn: bool) -> Built:
    """Raises DisagreementError."""
    if isinstance(run, AutoencoderRun):
        assert isinstance(network, Autoencoder)
        return _build_autoencoder(run, network, images)
    assert isinstance(network, Classifier | Embedder)
    return _build_explained(run, network, images, drawn)


def _checked(agreement: Agreement | autoencoder_export.AutoencoderAgreement) -> str:
    """Its line. Raises DisagreementError."""
    print(agreement.text(), file=sys.stderr)
    agreement.check()
    return agreement.text()


def _build_autoencoder(run: AutoencoderRun, network: Autoencoder, images: Images) -> Built:
    model = autoencoder_export.build_onnx(network).SerializeToString()
    agreement = _checked(autoencoder_export.compare(network, model, images))
    spec = run.network
    inputs = drawn_images(GOLDEN, spec.size, spec.size, spec.channels, seed=1)
    answers = autoencoder_export.answers_in_torch(network, inputs)
    return Built(
        model=model,
        outputs=autoencoder_export.outputs_of(spec),
        agreement=agreement,
        network=f"convolutional autoencoder, {spec.width} channels and up, {spec.latent} numbers in the bottleneck",
        write_golden=lambda folder: golden.write_answers(inputs, answers, folder),
    )


def _build_explained(
    run: ClassifierRun | EmbedderRun, network: Classifier | Embedder, images: Images, drawn: bool
) -> Built:
    role, count, rule = MAIN_ROLES[run.kind], answers_of(run), run.input
    model = build_onnx(network, rule, role).SerializeToString()
    agreement = _checked(compare(network, explainer(model, role), images, drawn=drawn))
    return Built(
        model=model,
        outputs=(
            Output(role=role, name=role, shape=("N", count)),
            Output(role="gradient", name="gradient", shape=("N", rule.height, rule.width, rule.channels)),
        ),
        agreement=agreement,
        network=network.backbone_name,
        write_golden=lambda folder: golden.write(golden_vectors(network, run), folder),
    )


def export(
    run: AnyRun,
    network: Network,
    models: Path,
    images: Images,
    default: bool,
    drawn: bool = False,
    metrics: Sequence[Metric] = (),
) -> Manifest:
    """Check the graph on `images` uint8 (n, H, W, C), drawn ones or photos, and write the model folder, whole or not
    at all. Figures that were measured after the training, `metrics`, come before the training's own.

    Raises DisagreementError.
    """
    built = build(run, network, images, drawn)
    models.mkdir(parents=True, exist_ok=True)
    part, folder = models / f"{run.name}.part", models / run.name
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir()
    (part / MODEL_FILE).write_bytes(built.model)
    built.write_golden(part)
    described = Manifest(
        name=run.name,
        kind=run.kind,
        default=default,
        description=_description(run),
        files={name: manifest.sha256_of(part / name) for name in (MODEL_FILE, golden.FILE_NAME)},
        input=run.input,
        outputs=built.outputs,
        labels=run.labels if isinstance(run, ClassifierRun) else (),
        featout=run.featout if isinstance(run, ClassifierRun) else None,
        decision=run.decision if isinstance(run, EmbedderRun) else None,
        metrics=(*metrics, *run.metrics),
        data=run.data,
        training=run.training,
    )
    (part / CARD).write_text(card(described, built.network, built.agreement), encoding="utf-8")
    written = manifest.write(described, part)
    _replace(folder, part)
    return written


def answers_of(run: ClassifierRun | EmbedderRun) -> int:
    """How many numbers the model answers for an image."""
    return len(run.labels) if isinstance(run, ClassifierRun) else run.network.dimension


def _description(run: AnyRun) -> str:
    if isinstance(run, ClassifierRun):
        return f"Tells {_listed(run.labels)} apart."
    if isinstance(run, AutoencoderRun):
        return "Draws images again from a few numbers: what it can't is unusual."
    return "Tells whether two photos are the same one, reposted."


def explainer(model: bytes, role: MainRole = "logits") -> Explain:
    """A serialised graph as a function of images and output weights, on the CPU."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])

    def explain(images: Images, output_weights: Floats) -> tuple[Floats, Floats]:
        answers, gradient = session.run([role, "gradient"], {"images": images, "output_weights": output_weights})
        return answers, gradient

    return explain


def golden_vectors(network: Classifier | Embedder, run: ClassifierRun | EmbedderRun) -> Golden:
    """Drawn inputs and torch's answers; each explains another output."""
    rule, count = run.input, answers_of(run)
    images = drawn_images(GOLDEN, rule.height, rule.width, rule.channels, seed=1)
    targets = torch.arange(GOLDEN) % count
    pixels = torch.from_numpy(images.transpose(0, 3, 1, 2).copy()) / 255
    gradients, answers = input_gradients(network, pixels, targets)
    weights = np.eye(count, dtype=np.float32)[targets.numpy()]
    return Golden(images, weights, answers.numpy(), gradients.permute(0, 2, 3, 1).numpy(), MAIN_ROLES[run.kind])


def _replace(folder: Path, part: Path) -> None:
    """Put the new folder, which is whole, in the old one's place by renaming; the old one goes last."""
    old = folder.with_name(folder.name + ".old.part")
    shutil.rmtree(old, ignore_errors=True)
    if folder.exists():
        folder.rename(old)
    part.rename(folder)
    shutil.rmtree(old, ignore_errors=True)


def check_images(run: AnyRun, photos: Path | None, count: int = 200) -> Images:
    """uint8 (n, H, W, C): the first photos of a folder or tar as serving would feed them, or drawn images."""
    rule = run.input
    if photos is None:
        return drawn_images(DRAWN, rule.height, rule.width, rule.channels)
    data = load(photos, labelled=False)
    order = np.random.default_rng(0).permutation(len(data))[:count]
    return np.stack([prepare(data.read(int(i)), rule, ImageLimits()).pixels for i in order])


def read_metrics(path: Path) -> tuple[Metric, ...]:
    """A JSON list of objects with the fields of `Metric`. Raises RunError where it isn't one."""
    try:
        return TypeAdapter(tuple[Metric, ...]).validate_json(path.read_bytes())
    except (OSError, ValidationError) as error:
        raise RunError(f"{path} holds no list of metrics (name, set, split, n, value, interval): {error}") from error


def _listed(labels: Sequence[str], limit: int = 10) -> str:
    shown = ", ".join(labels[:limit])
    return shown if len(labels) <= limit else f"{shown} and {len(labels) - limit} more"


def main(arguments: Sequence[str] | None = None) -> int:
    """The command. 0 when written, 2 with a message when not."""
    parser = argparse.ArgumentParser(prog="python -m training.export", description=__doc__.split("\n")[0])
    add = parser.add_argument
    add("--name", required=True, help="of the training run")
    add("--runs", type=Path, default=RUNS)
    add("--models", type=Path, default=MODELS)
    add("--check", type=Path, metavar="PHOTOS", help="compare on up to 200 of these photos, not on drawn images")
    add("--metrics", type=Path, metavar="JSON", help="figures to put into manifest and card, such as a benchmark's")
    add("--default", action="store_true", help="let this model answer where none is named")
    given = parser.parse_args(arguments)

    def work() -> None:
        run, network = read_any_run(given.runs / given.name)
        metrics = read_metrics(given.metrics) if given.metrics else ()
        images = check_images(run, given.check)
        # An autoencoder answers nothing by itself: classifiers name theirs.
        answers = run.kind != "autoencoder"
        default = answers and is_default(run.name, run.kind, given.models, given.default)
        before = read_if_valid(given.models / run.name)
        written = export(run, network, given.models, images, default, drawn=given.check is None, metrics=metrics)
        folder = given.models / written.name
        print(f"{folder}: version {written.version}{told_of(before, written)}{', the default' * written.default}")
        for line in given_up(given.models, written) if given.default else default_notes(given.models, written):
            print(line)
        stale = unscored(given.models, before, written)
        for name in stale:
            print(f"Difficulty has to be fitted again: python -m training.difficulty --classifier {name} …")
        if not stale or written.kind == "classifier":
            print(taking_up(given.models))

    return exit_status(work, consequence="nothing was written: ")
