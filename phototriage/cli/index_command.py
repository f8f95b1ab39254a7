"""The command `phototriage index`: what `phototriage score --index` has seen."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np

from phototriage.common.errors import ModelFolderError, PhototriageError
from phototriage.index.folder import model_of
from phototriage.index.image_index import ImageIndex
from phototriage.models.model_set import load_models
from phototriage.runtime.providers import ProviderUnavailable
from phototriage.scoring.image_files import read_file, reason
from phototriage.scoring.image_references import problem_of_failure
from phototriage.settings import Settings
from phototriage.triage.pipeline import prepare_for

FILE_FAILED, CANT_START = 1, 2


def add_to(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Its options, among those of the other commands."""
    parser = commands.add_parser("index", help="look into what `phototriage score --index` has seen")
    actions = parser.add_subparsers(dest="action", required=True)
    for action, text in (
        ("info", "print what it holds, as JSON"),
        ("rebuild", "merge what was added by and by, and make the graph anew"),
        ("query", "print the images in it that are the most similar to others, as JSON"),
    ):
        one = actions.add_parser(action, help=text)
        one.add_argument("folder", type=Path, metavar="DIR")
        if action == "query":
            one.add_argument("files", nargs="+", type=Path, metavar="FILE")
            one.add_argument("--count", type=int, default=1, help="how many; 1 without it")


def run(options: argparse.Namespace, settings: Settings) -> int:
    """0: done; 1: some file couldn't be read; 2: it can't be done."""
    actions: dict[str, Callable[[argparse.Namespace, Settings], int]] = {
        "info": _info,
        "rebuild": _rebuild,
        "query": _query,
    }
    try:
        return actions[options.action](options, settings)
    except (ModelFolderError, PhototriageError, ProviderUnavailable) as error:
        print(f"phototriage: {error}", file=sys.stderr)
    except OSError as error:
        print(f"phototriage: {options.folder}: {error.strerror or error}", file=sys.stderr)
    return CANT_START


def _info(options: argparse.Namespace, settings: Settings) -> int:
    with ImageIndex.open(options.folder, model_of(options.folder), read_only=True) as index:
        print(json.dumps(index.info()._asdict()))
    return 0


def _rebuild(options: argparse.Namespace, settings: Settings) -> int:
    with ImageIndex.open(options.folder, model_of(options.folder)) as index:
        index.rebuild()
        print(json.dumps(index.info()._asdict()))
    return 0


def _query(options: argparse.Namespace, settings: Settings) -> int:
    if options.count < 1:
        print(f"phototriage: --count is {options.count}, and at least 1 is needed", file=sys.stderr)
        return CANT_START
    made_by = model_of(options.folder)
    model = load_models(settings).embedder(made_by.name)
    failed = False
    with ImageIndex.open(options.folder, model, read_only=True) as index:
        for path in options.files:
            try:
                content = read_file(path, settings.image_limits)
                pixels = prepare_for(model, content, settings.image_limits).pixels
            except (PhototriageError, OSError) as error:
                failed = True
                print(f"phototriage: {path}: {reason(problem_of_failure(error))}", file=sys.stderr)
                continue
            (near,) = index.query(model.embed(pixels[np.newaxis]), options.count)
            found = [
                {"image": image, "similarity": value, "is_duplicate": value >= made_by.threshold}
                for image, value in near
            ]
            print(json.dumps({"file": str(path), "nearest": found}, ensure_ascii=False), flush=True)
    return FILE_FAILED if failed else 0
