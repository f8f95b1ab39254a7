"""The `phototriage` command: what the service answers, for files, without a server."""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import get_args

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pydantic import BaseModel, ValidationError

from phototriage.cli import bulk, index_command, score_command
from phototriage.cli.ranking import By, write_ranking
from phototriage.common.errors import ModelFolderError, PhototriageError, UnknownModel
from phototriage.common.tables import TableError
from phototriage.difficulty.predictor import MISLABELLED
from phototriage.images.pixels import decode
from phototriage.models.model_set import Models, load_models
from phototriage.runtime.providers import ProviderUnavailable
from phototriage.scoring.image_files import read_file, reason
from phototriage.settings import HIDDEN, PREFIX, Settings, SettingsError, read_settings
from phototriage.triage import pipeline, responses
from phototriage.triage.schemas import Part

FILE_FAILED, CANT_START = 1, 2
OVERLAY_OPACITY = 0.6
OVERLAY_COLOUR = (255, 0, 0)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command. 0: all went well; 1: some file failed; 2: settings, models or usage don't fit."""
    options = _parser().parse_args(arguments)
    try:
        settings = read_settings()
        if options.command == "config":
            return _config(settings)
        if options.command == "score":
            return score_command.run(options, settings)
        if options.command == "index":
            return index_command.run(options, settings)
        models = load_models(settings)
    except (SettingsError, ModelFolderError, ProviderUnavailable) as error:
        print(f"phototriage: {error}", file=sys.stderr)
        return CANT_START
    if options.command == "models":
        return _models(models)
    commands = {
        "classify": _each,
        "difficulty": _each,
        "triage": _each,
        "rank": _rank,
        "saliency": _saliency,
        "duplicates": _bulk,
        "compare": _bulk,
    }
    return commands[options.command](options, models, settings)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="phototriage", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("config", help="print the settings, as the environment would have to say them")
    commands.add_parser("models", help="verify and list the models")
    classify = commands.add_parser("classify", help="print an answer a line, as JSON")
    classify.add_argument("files", nargs="+", type=Path, metavar="FILE")
    classify.add_argument("--top-k", type=int)
    difficulty = commands.add_parser("difficulty", help="print how hard each image is, and why, as JSON")
    difficulty.add_argument("files", nargs="+", type=Path, metavar="FILE")
    difficulty.add_argument("--label", help="what you take the images for")
    triage = commands.add_parser("triage", help="print all answers about each image, as JSON")
    triage.add_argument("files", nargs="+", type=Path, metavar="FILE")
    triage.add_argument("--include", help=f"of {', '.join(get_args(Part))}; separated by commas")
    score_command.add_question(triage)
    score_command.add_to(commands)
    index_command.add_to(commands)
    rank = commands.add_parser("rank", help="write a folder's images from the hardest to the easiest, and why")
    rank.add_argument("input", type=Path, metavar="FOLDER")
    rank.add_argument("-o", "--output", type=Path, required=True, metavar="CSV")
    rank.add_argument("--gallery", type=Path, metavar="HTML", help="a page of the hardest and the easiest, too")
    rank.add_argument("--by", choices=get_args(By), default="score")
    rank.add_argument("--labelled", action="store_true", help="sub-folders are labels: tells what is mislabelled")
    saliency = commands.add_parser("saliency", help="write what the model looked at")
    saliency.add_argument("file", type=Path, metavar="FILE")
    saliency.add_argument("-o", "--output", type=Path, required=True, metavar="PNG")
    saliency.add_argument("--method", choices=("gradient", "featout"), default="gradient")
    saliency.add_argument("--target", help="label to explain; the predicted one without it")
    saliency.add_argument("--overlay", action="store_true", help="lay the mask in red over the photo")
    duplicates = commands.add_parser("duplicates", help="write the groups of duplicates below a folder")
    duplicates.add_argument("input", type=Path, metavar="FOLDER")
    compare = commands.add_parser("compare", help="write for each pair of images whether they are duplicates")
    compare.add_argument("input", type=Path, metavar="PAIRS.csv", help="with columns path_a and path_b")
    for command in (duplicates, compare):
        command.add_argument("-o", "--output", type=Path, required=True, metavar="CSV")
        command.add_argument("--threshold", type=_similarity, help="from -1 to 1; the tuned one without it")
    for command in (classify, difficulty, rank, saliency, duplicates, compare):
        command.add_argument("--model", help="the default one without it")
    return parser


def _similarity(text: str) -> float:
    value = float(text)
    if not math.isfinite(value) or not -1 <= value <= 1:
        raise argparse.ArgumentTypeError(f"it is {text}, and similarities go from -1 to 1")
    return value


def _config(settings: Settings) -> int:
    for name, field in Settings.model_fields.items():
        value = getattr(settings, name)
        print(f"# {field.description}")
        if name == HIDDEN:
            value = "*****" if value else None
        print(f"{PREFIX}{name.upper()}={'' if value is None else value}")
    return 0


def _models(models: Models) -> int:
    for info in responses.list_models(models).models:
        mark = "default" if info.default else ""
        print(f"{info.name}\t{info.kind}\t{info.version}\t{mark}\t{', '.join(info.labels)}".rstrip())
    return 0


def _each(options: argparse.Namespace, models: Models, settings: Settings) -> int:
    """An answer a file."""
    limits = settings.image_limits
    try:
        question = score_command.question_of(options) if options.command == "triage" else None
    except ValidationError as error:
        print(score_command.told(error), file=sys.stderr)
        return CANT_START
    failed = False
    for path in options.files:
        answer: BaseModel
        try:
            content = read_file(path, limits)
            if options.command == "classify":
                answer = pipeline.classify(models, content, options.model, options.top_k, limits)
            elif options.command == "difficulty":
                answer = pipeline.difficulty(models, content, options.model, options.label, limits)
            else:
                answer = pipeline.triage(models, content, question, limits)
        except (PhototriageError, OSError) as error:
            failed = True
            _report(path, error)
        else:
            row = {"file": str(path), **answer.model_dump(exclude_none=True)}
            print(json.dumps(row, ensure_ascii=False), flush=True)
    return FILE_FAILED if failed else 0


def _rank(options: argparse.Namespace, models: Models, settings: Settings) -> int:
    if options.by == MISLABELLED and not options.labelled:
        print(f"phototriage: --by {MISLABELLED} needs --labelled", file=sys.stderr)
        return CANT_START
    try:
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
        print(f"phototriage: {error}", file=sys.stderr)
        return CANT_START
    return 0 if whole else FILE_FAILED


def _saliency(options: argparse.Namespace, models: Models, settings: Settings) -> int:
    limits = settings.image_limits
    try:
        data = options.file.read_bytes()
        saliency = pipeline.saliency(models, data, options.method, options.target, options.model, limits)
        if options.overlay:
            photo = np.asarray(decode(data, limits).convert("RGB"))
            Image.fromarray(overlay(photo, saliency.mask)).save(options.output, "PNG")
        else:
            options.output.write_bytes(saliency.png())
    except (PhototriageError, OSError) as error:
        _report(options.file, error)
        return FILE_FAILED
    return 0


def _bulk(options: argparse.Namespace, models: Models, settings: Settings) -> int:
    write = bulk.write_groups if options.command == "duplicates" else bulk.write_answers
    try:
        model = models.embedder(options.model)
        whole = write(options.input, options.output, model, options.threshold, settings.image_limits)
    except (TableError, UnknownModel) as error:
        print(f"phototriage: {error}", file=sys.stderr)
        return CANT_START
    return 0 if whole else FILE_FAILED


def overlay(photo: NDArray[np.uint8], mask: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Photo uint8 (H, W, 3) RGB with the mask uint8 (H, W) laid over it in red."""
    share = mask[..., np.newaxis] * np.float32(OVERLAY_OPACITY / 255)
    mixed: NDArray[np.float32] = photo * (1 - share) + np.array(OVERLAY_COLOUR, np.float32) * share
    return np.rint(mixed).astype(np.uint8)


def _report(path: Path, error: PhototriageError | OSError) -> None:
    print(f"phototriage: {path}: {reason(error)}", file=sys.stderr)
