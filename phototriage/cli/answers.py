"""The commands that print an answer for each image file: `phototriage classify`, `difficulty` and `triage`."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import get_args

from pydantic import BaseModel, ValidationError

from phototriage.cli.exit_status import DONE, FILE_FAILED, refuse, tell
from phototriage.cli.triage_options import add_triage_options, describe, tell_default, triage_request
from phototriage.common.errors import PhototriageError
from phototriage.common.file_names import printable
from phototriage.models.model_set import Models, load_models
from phototriage.scoring.image_files import read_file, reason
from phototriage.settings import Settings
from phototriage.triage import pipeline
from phototriage.triage.schemas import Part


def add_to(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Their options, among those of the other commands."""
    classify = commands.add_parser("classify", help="print the label of each image, as a line of JSON")
    classify.add_argument("--top-k", type=int, help="how many probabilities to list; all without it")
    classify.set_defaults(run=_classify)
    difficulty = commands.add_parser("difficulty", help="print how hard each image is, and why, as a line of JSON")
    difficulty.add_argument("--label", help="what you take the images for")
    difficulty.set_defaults(run=_difficulty)
    triage = commands.add_parser("triage", help="print all answers about each image, as a line of JSON")
    triage.add_argument("--include", help=f"of {', '.join(get_args(Part))}; separated by commas")
    add_triage_options(triage)
    triage.set_defaults(run=_triage)
    for command in (classify, difficulty, triage):
        command.add_argument("files", nargs="+", type=Path, metavar="FILE")
    for command in (classify, difficulty):
        command.add_argument("--model", help="a classifier; the default one without it")


def _classify(options: argparse.Namespace, settings: Settings) -> int:
    def answer(models: Models, content: bytes) -> BaseModel:
        return pipeline.classify(models, content, options.model, options.top_k, settings.image_limits)

    return _print_each(options.files, options.model, settings, answer)


def _difficulty(options: argparse.Namespace, settings: Settings) -> int:
    def answer(models: Models, content: bytes) -> BaseModel:
        return pipeline.difficulty(models, content, options.model, options.label, settings.image_limits)

    return _print_each(options.files, options.model, settings, answer)


def _triage(options: argparse.Namespace, settings: Settings) -> int:
    try:
        request = triage_request(options)
    except ValidationError as error:
        return refuse(describe(error))

    def answer(models: Models, content: bytes) -> BaseModel:
        return pipeline.triage(models, content, request, settings.image_limits)

    return _print_each(options.files, options.classifier, settings, answer)


def _print_each(
    files: Sequence[Path], classifier: str | None, settings: Settings, answer: Callable[[Models, bytes], BaseModel]
) -> int:
    """A file that can't be read or answered is named on stderr with the reason, and the others go on."""
    models = load_models(settings)
    tell_default(models, classifier)
    status = DONE
    for path in files:
        try:
            content = read_file(path, settings.image_limits)
            row = {"file": printable(str(path)), **answer(models, content).model_dump(exclude_none=True)}
        except (PhototriageError, OSError) as error:
            status = FILE_FAILED
            tell(f"{path}: {reason(error)}")
        else:
            print(json.dumps(row, ensure_ascii=False), flush=True)
    return status
