"""The command `phototriage index`: what `phototriage score --index` has seen."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np

from phototriage.cli.exit_status import DONE, FILE_FAILED, refuse, tell
from phototriage.common.errors import ModelFolderError, PhototriageError
from phototriage.common.file_names import printable
from phototriage.index.folder import IndexedModel, model_of
from phototriage.index.image_index import ImageIndex, Neighbour
from phototriage.models.model_set import load_models
from phototriage.runtime.providers import ProviderUnavailable
from phototriage.scoring.image_files import read_file, reason
from phototriage.scoring.image_references import problem_of_failure
from phototriage.settings import Settings
from phototriage.triage.embedder_input import embedder_input


def add_to(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Its options, among those of the other commands."""
    parser = commands.add_parser("index", help="look into what `phototriage score --index` has seen")
    actions = parser.add_subparsers(dest="action", required=True)
    info = actions.add_parser("info", help="print what it holds, as JSON")
    rebuild = actions.add_parser("rebuild", help="merge what was added batch by batch, and make the graph anew")
    query = actions.add_parser("query", help="print the images in it that are the most similar to others, as JSON")
    for action, act_on in ((info, _info), (rebuild, _rebuild), (query, _query)):
        action.add_argument("folder", type=Path, metavar="DIR")
        action.set_defaults(run=run, act_on=act_on)
    query.add_argument("files", nargs="+", type=Path, metavar="FILE")
    query.add_argument("--count", type=int, default=1, help="how many; 1 without it")


def run(options: argparse.Namespace, settings: Settings) -> int:
    """0: done; 1: some file couldn't be read; 2: it can't be done."""
    try:
        status: int = options.act_on(options, settings)
        return status
    except (ModelFolderError, PhototriageError, ProviderUnavailable) as error:
        return refuse(str(error))
    except OSError as error:
        return refuse(f"{options.folder}: {error.strerror or error}")


def _info(options: argparse.Namespace, settings: Settings) -> int:
    with ImageIndex.open(options.folder, model_of(options.folder), read_only=True) as index:
        print(json.dumps(index.info()._asdict()))
    return DONE


def _rebuild(options: argparse.Namespace, settings: Settings) -> int:
    with ImageIndex.open(options.folder, model_of(options.folder)) as index:
        index.rebuild()
        print(json.dumps(index.info()._asdict()))
    return DONE


def _query(options: argparse.Namespace, settings: Settings) -> int:
    if options.count < 1:
        return refuse(f"--count is {options.count}, and at least 1 is needed")
    index_model = model_of(options.folder)
    model = load_models(settings).embedder(index_model.name)
    status = DONE
    with ImageIndex.open(options.folder, model, read_only=True) as index:
        for path in options.files:
            try:
                content = read_file(path, settings.image_limits)
                pixels, signature = embedder_input(model, content, settings.image_limits)
            except (PhototriageError, OSError) as error:
                status = FILE_FAILED
                tell(f"{path}: {reason(problem_of_failure(error))}")
                continue
            signatures = [signature] if index.model.verifies and signature is not None else None
            (neighbours,) = index.query(model.embed(pixels[np.newaxis]), options.count, signatures=signatures)
            nearest = [_answer(index.model, neighbour) for neighbour in neighbours]
            print(json.dumps({"file": printable(str(path)), "nearest": nearest}, ensure_ascii=False), flush=True)
    return status


def _answer(model: IndexedModel, found: Neighbour) -> dict[str, object]:
    return {
        "image": found.name,
        "similarity": found.similarity,
        "probability": found.probability,
        "verified": found.probability is not None,
        "is_duplicate": model.is_duplicate(found.similarity, found.probability),
    }
