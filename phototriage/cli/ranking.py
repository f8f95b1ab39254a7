"""The command `phototriage rank`: a folder's images from the hardest to the easiest, as a table and as a page of
thumbnails."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from PIL import Image

from phototriage.cli import gallery
from phototriage.cli.exit_status import DONE, FILE_FAILED, refuse, say
from phototriage.cli.folder_images import images_below, tell_unread
from phototriage.cli.triage_options import tell_default
from phototriage.common import tables
from phototriage.common.errors import PhototriageError, UnknownModel
from phototriage.common.progress import Progress
from phototriage.common.tables import TableError
from phototriage.difficulty.predictor import MISLABELLED, SCORE, DifficultyPrediction
from phototriage.difficulty.signals import KINDS, softmax
from phototriage.images.pixels import ImageLimits, decode, decode_for
from phototriage.models.model_set import DifficultyModels, load_models
from phototriage.scoring.image_files import read_file, reason
from phototriage.settings import Settings
from phototriage.triage.assessment import ModelInputs, concatenated, model_inputs, signal_inputs

By = Literal["score", "p_error", "p_hard", "p_foreign", "ambiguous", "unusual", "low_quality", "likely_mislabelled"]

BATCH = 16  # images at once, as the models are fed; decoded ones one by one
NOT_GIVEN = float("-inf")
SHOWN = 60  # thumbnails of the hardest, and of the easiest
COLUMNS = ("path", "label", "confidence", "score", "percentile", "review", "reasons", *KINDS)
ANSWERS = ("p_error", "p_hard", "p_foreign")  # of a difficulty that has them


def add_to(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Its options, among those of the other commands."""
    rank = commands.add_parser("rank", help="write a folder's images from the hardest to the easiest, and why")
    rank.add_argument("input", type=Path, metavar="FOLDER")
    rank.add_argument("-o", "--output", type=Path, required=True, metavar="CSV")
    rank.add_argument("--gallery", type=Path, metavar="HTML", help="write a page of the hardest and the easiest, too")
    rank.add_argument("--by", choices=get_args(By), default="score")
    rank.add_argument("--labelled", action="store_true", help="sub-folders are labels: tells what is mislabelled")
    rank.add_argument("--model", help="a classifier; the default one without it")
    rank.set_defaults(run=run)


def run(options: argparse.Namespace, settings: Settings) -> int:
    if options.by == MISLABELLED and not options.labelled:
        return refuse(f"--by {MISLABELLED} needs --labelled")
    try:
        models = load_models(settings)
        tell_default(models, options.model)
        whole = write_ranking(
            models.for_difficulty(options.model),
            options.input,
            options.output,
            options.gallery,
            settings.image_limits,
            by=options.by,
            labelled=options.labelled,
        )
    except (TableError, UnknownModel) as error:
        return refuse(str(error))
    return DONE if whole else FILE_FAILED


@dataclass(frozen=True)
class Ranked:
    """One image: its path below the folder, what the classifier takes it for, and how hard that is. given_label:
    what its sub-folder says, where that is asked for."""

    path: Path
    label: str
    confidence: float
    prediction: DifficultyPrediction
    given_label: str | None

    def answer(self, name: str) -> float:
        """One of ANSWERS."""
        found: float = getattr(self.prediction.answers, name)
        return found

    def sort_key(self, key: By) -> tuple[float, float, str]:
        """To sort by, the hardest first. Percentiles tie, above all at 100, so then the doubt in the label or the score
        tells, and at last the name."""
        prediction = self.prediction
        if key == SCORE:
            return -prediction.score, 0.0, self.path.as_posix()
        if key == "p_error" or key == "p_hard" or key == "p_foreign":
            return -self.answer(key), 0.0, self.path.as_posix()
        then = prediction.label_doubt if key == MISLABELLED and prediction.label_doubt is not None else prediction.score
        return -prediction.kinds.get(key, NOT_GIVEN), -then, self.path.as_posix()


def rank(
    models: DifficultyModels, folder: Path, paths: Sequence[Path], limits: ImageLimits, *, labelled: bool
) -> tuple[list[Ranked], dict[Path, str]]:
    """The images that can be read, in their order, and why the others can't. `paths` start at `folder`; `labelled`:
    the name of an image's folder is its label, if the classifier has that one."""
    fed = [model for model in (models.classifier, models.autoencoder) if model is not None]
    input_configs = [model.manifest.input for model in fed]
    progress = Progress(len(paths))
    ranked: list[Ranked] = []
    failures: dict[Path, str] = {}
    for start in range(0, len(paths), BATCH):
        readable: list[Path] = []
        inputs: list[ModelInputs] = []
        for path in paths[start : start + BATCH]:
            try:
                image = decode_for(read_file(folder / path, limits), input_configs, limits)
                inputs.append(model_inputs(models.classifier, models.autoencoder, [image]))
            except (PhototriageError, OSError) as error:
                failures[path] = reason(error)
            else:
                readable.append(path)
        if readable:
            ranked += _predicted(models, readable, concatenated(inputs), labelled)
        progress.step(len(paths[start : start + BATCH]))
    return ranked, failures


def _predicted(models: DifficultyModels, paths: Sequence[Path], inputs: ModelInputs, labelled: bool) -> list[Ranked]:
    labels = models.classifier.labels
    given_labels = [path.parent.name if labelled and path.parent.name in labels else None for path in paths]
    outputs = signal_inputs(models.classifier, models.autoencoder, inputs)
    given_indices = [None if name is None else labels.index(name) for name in given_labels]
    probabilities = softmax(outputs.logits)
    return [
        Ranked(path, labels[int(shares.argmax())], float(shares.max()), prediction, name)
        for path, shares, prediction, name in zip(
            paths, probabilities, models.difficulty.predict(outputs, given_indices), given_labels, strict=True
        )
    ]


def write_ranking(
    models: DifficultyModels,
    folder: Path,
    output: Path,
    page: Path | None,
    limits: ImageLimits,
    *,
    by: By,
    labelled: bool,
) -> bool:
    """Write the table, hardest first, and the page, if one is asked for.

    Returns whether all images could be read; the others are named on stderr, with the reason. Raises TableError.
    """
    if by in ANSWERS and models.difficulty.config.answers is None:
        raise TableError(f"{models.classifier.name} has no {by}. Fit it: python -m training.difficulty")
    for path in (output, page):
        if path is not None:
            tables.check_writable(path)
    paths, unread = images_below(folder)
    if labelled and not any(path.parent.name in models.classifier.labels for path in paths):
        raise TableError(
            f"No sub-folder of {folder} is called {' or '.join(models.classifier.labels[:5])}. Name them after the "
            "classifier's labels, or leave --labelled out."
        )
    ranked, failures = rank(models, folder, paths, limits, labelled=labelled)
    unread |= {folder / path: why for path, why in failures.items()}
    tell_unread(unread)
    ranked.sort(key=lambda image: image.sort_key(by))
    answered, given = models.difficulty.config.answers is not None, ("given_label", MISLABELLED)
    names = models.difficulty.signal_names
    header = [*COLUMNS, *(ANSWERS if answered else ()), *(given if labelled else ()), *names]
    tables.write(output, header, (_row(image, labelled, names) for image in ranked))
    to_review = sum(image.prediction.review for image in ranked)
    model = f"{models.classifier.name}, version {models.classifier.manifest.version}"
    say(f"{output}: {len(ranked)} images, {to_review} of them to review, by {model}")
    if page is not None:
        gallery.write(
            page,
            f"{folder.resolve().name} by {by}, as {models.classifier.name} answers",
            _sections(ranked, folder, by, limits),
        )
        say(f"{page}: the {min(SHOWN, len(ranked))} hardest and easiest")
    return not unread


def _row(image: Ranked, labelled: bool, names: Sequence[str]) -> list[object]:
    prediction = image.prediction
    row: list[object] = [image.path.as_posix(), image.label, f"{image.confidence:.6f}", f"{prediction.score:.6f}"]
    row += [
        f"{prediction.percentile:.1f}",
        int(prediction.review),
        " ".join(reason.kind for reason in prediction.reasons),
    ]
    row += [f"{prediction.kinds[kind]:.1f}" for kind in KINDS]
    if prediction.answers is not None:
        row += [f"{image.answer(name):.6f}" for name in ANSWERS]
    if labelled:
        doubt = prediction.kinds.get(MISLABELLED)
        row += [image.given_label or "", "" if doubt is None else f"{doubt:.1f}"]
    return [*row, *(f"{prediction.components[name]:.6g}" for name in names)]


def _sections(ranked: Sequence[Ranked], folder: Path, by: By, limits: ImageLimits) -> list[gallery.Section]:
    # Of an image without a label nothing is doubted.
    placed = [image for image in ranked if by in (SCORE, *ANSWERS, *image.prediction.kinds)]
    hardest, easiest = placed[:SHOWN], placed[::-1][:SHOWN]
    return [
        gallery.Section("Hardest first", [_tile(image, folder, by, limits) for image in hardest]),
        gallery.Section("Easiest first", [_tile(image, folder, by, limits) for image in easiest]),
    ]


def _tile(image: Ranked, folder: Path, by: By, limits: ImageLimits) -> gallery.Tile:
    prediction = image.prediction
    label = f"{image.label} {image.confidence:.2f}"
    if image.given_label is not None and image.given_label != image.label:
        label += f", given as {image.given_label}"
    lines = [f"score {prediction.score:.2f}, percentile {prediction.percentile:.0f}", label]
    if prediction.answers is not None:
        lines[1:1] = [", ".join(f"{name} {image.answer(name):.2f}" for name in ANSWERS)]
    if by in prediction.kinds:
        lines.insert(0, f"{by}: percentile {prediction.kinds[by]:.0f}")
    lines += [f"{reason.kind}: {reason.signal} {reason.value:.3g}" for reason in prediction.reasons]
    try:
        photo = decode(read_file(folder / image.path, limits), limits)
    except (PhototriageError, OSError):  # it was there a moment ago
        photo = Image.new("RGB", (1, 1), "white")
    return gallery.Tile(gallery.thumbnail(photo), image.path.as_posix(), lines, marked=prediction.review)
