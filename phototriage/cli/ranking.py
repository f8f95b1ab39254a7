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
from phototriage.cli.exit_status import DONE, FILE_FAILED, refuse, tell
from phototriage.common import tables
from phototriage.common.errors import PhototriageError, UnknownModel
from phototriage.common.progress import Progress
from phototriage.common.tables import TableError
from phototriage.difficulty.predictor import MISLABELLED, SCORE, DifficultyPrediction
from phototriage.difficulty.signals import KINDS, SIGNALS, softmax
from phototriage.images.pixels import IMAGE_SUFFIXES, ImageLimits, decode, decode_for
from phototriage.models.model_set import DifficultyModels, load_models
from phototriage.scoring.image_files import Failure, find, read_file, reason
from phototriage.settings import Settings
from phototriage.triage.assessment import ModelInputs, concatenated, model_inputs, signal_inputs

By = Literal["score", "ambiguous", "unusual", "low_quality", "likely_mislabelled"]

BATCH = 16  # images at once, as the models are fed; decoded ones one by one
NOT_GIVEN = float("-inf")
SHOWN = 60  # thumbnails of the hardest, and of the easiest
COLUMNS = ("path", "label", "confidence", "score", "percentile", "review", "reasons", *KINDS)


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
        whole = write_ranking(
            load_models(settings).for_difficulty(options.model),
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
    """One image: its path below the folder, what the classifier takes it for, and how hard that is. given: the label
    that its sub-folder says, where that is asked for."""

    path: Path
    label: str
    confidence: float
    prediction: DifficultyPrediction
    given: str | None

    def place(self, key: By) -> tuple[float, float, str]:
        """To sort by, the hardest first. Percentiles tie, above all at 100, so then the doubt in the label or the score
        tells, and at last the name."""
        prediction = self.prediction
        if key == "score":
            return -prediction.score, 0.0, self.path.as_posix()
        then = prediction.label_doubt if key == MISLABELLED and prediction.label_doubt is not None else prediction.score
        return -prediction.kinds.get(key, NOT_GIVEN), -then, self.path.as_posix()


def rank(
    models: DifficultyModels, folder: Path, paths: Sequence[Path], limits: ImageLimits, *, labelled: bool
) -> tuple[list[Ranked], dict[Path, str]]:
    """The images that can be read, in their order, and why the others can't. `paths` start at `folder`; `labelled`:
    the name of an image's folder is its label, if the classifier has that one."""
    rules = [models.classifier.manifest.input, models.autoencoder.manifest.input]
    progress = Progress(len(paths))
    ranked: list[Ranked] = []
    failures: dict[Path, str] = {}
    for start in range(0, len(paths), BATCH):
        kept: list[Path] = []
        shown: list[ModelInputs] = []
        for path in paths[start : start + BATCH]:
            try:
                image = decode_for(read_file(folder / path, limits), rules, limits)
                shown.append(model_inputs(models.classifier, models.autoencoder, [image]))
            except (PhototriageError, OSError) as error:
                failures[path] = reason(error)
            else:
                kept.append(path)
        if kept:
            ranked += _predicted(models, kept, concatenated(shown), labelled)
        progress.step(len(paths[start : start + BATCH]))
    return ranked, failures


def _predicted(models: DifficultyModels, paths: Sequence[Path], shown: ModelInputs, labelled: bool) -> list[Ranked]:
    labels = models.classifier.labels
    given = [path.parent.name if labelled and path.parent.name in labels else None for path in paths]
    seen = signal_inputs(models.classifier, models.autoencoder, shown)
    places = [None if name is None else labels.index(name) for name in given]
    probabilities = softmax(seen.logits)
    return [
        Ranked(path, labels[int(shares.argmax())], float(shares.max()), prediction, name)
        for path, shares, prediction, name in zip(
            paths, probabilities, models.difficulty.predict(seen, places), given, strict=True
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

    Returns whether all images could be read; the others are told on stderr. Raises TableError.
    """
    if not folder.is_dir():
        raise TableError(f"{folder} is no folder. Name the one that holds the images.")
    for path in (output, page):
        if path is not None:
            tables.check_writable(path)
    unread: dict[Path, str] = {}

    def report(path: Path, error: Failure) -> None:
        unread[path] = reason(error)

    paths = find(folder, report)
    if not paths:
        raise TableError(f"{folder} holds no images: no file ends in {', '.join(sorted(IMAGE_SUFFIXES))}.")
    if labelled and not any(path.parent.name in models.classifier.labels for path in paths):
        raise TableError(
            f"No sub-folder of {folder} is called {' or '.join(models.classifier.labels[:5])}. Name them after the "
            "classifier's labels, or leave --labelled out."
        )
    ranked, failures = rank(models, folder, paths, limits, labelled=labelled)
    unread |= {folder / path: told for path, told in failures.items()}
    for path, told in unread.items():
        tell(f"{path}: {told}")
    ranked.sort(key=lambda one: one.place(by))
    header = [*COLUMNS, *(("given_label", MISLABELLED) if labelled else ()), *SIGNALS]
    tables.write(output, header, (_row(one, labelled) for one in ranked))
    review = sum(one.prediction.review for one in ranked)
    print(f"{output}: {len(ranked)} images, {review} of them to review")
    if page is not None:
        gallery.write(page, f"{folder.resolve().name} by {by}", _sections(ranked, folder, by, limits))
        print(f"{page}: the {min(SHOWN, len(ranked))} hardest and easiest")
    return not unread


def _row(one: Ranked, labelled: bool) -> list[object]:
    prediction = one.prediction
    row: list[object] = [one.path.as_posix(), one.label, f"{one.confidence:.6f}", f"{prediction.score:.6f}"]
    row += [f"{prediction.percentile:.1f}", int(prediction.review), " ".join(why.kind for why in prediction.reasons)]
    row += [f"{prediction.kinds[kind]:.1f}" for kind in KINDS]
    if labelled:
        doubt = prediction.kinds.get(MISLABELLED)
        row += [one.given or "", "" if doubt is None else f"{doubt:.1f}"]
    return [*row, *(f"{prediction.components[name]:.6g}" for name in SIGNALS)]


def _sections(ranked: Sequence[Ranked], folder: Path, by: By, limits: ImageLimits) -> list[gallery.Section]:
    told = [
        one for one in ranked if by in (SCORE, *one.prediction.kinds)
    ]  # of an image without a label nothing is doubted
    hardest, easiest = told[:SHOWN], told[::-1][:SHOWN]
    return [
        gallery.Section("Hardest first", [_tile(one, folder, by, limits) for one in hardest]),
        gallery.Section("Easiest first", [_tile(one, folder, by, limits) for one in easiest]),
    ]


def _tile(one: Ranked, folder: Path, by: By, limits: ImageLimits) -> gallery.Tile:
    prediction = one.prediction
    told = f"{one.label} {one.confidence:.2f}"
    if one.given is not None and one.given != one.label:
        told += f", given as {one.given}"
    lines = [f"score {prediction.score:.2f}, percentile {prediction.percentile:.0f}", told]
    if by != SCORE and by in prediction.kinds:
        lines.insert(0, f"{by}: percentile {prediction.kinds[by]:.0f}")
    lines += [f"{why.kind}: {why.signal} {why.value:.3g}" for why in prediction.reasons]
    try:
        image = decode(read_file(folder / one.path, limits), limits)
    except (PhototriageError, OSError):  # it was there a moment ago
        image = Image.new("RGB", (1, 1), "white")
    return gallery.Tile(gallery.thumbnail(image), one.path.as_posix(), lines, marked=prediction.review)
