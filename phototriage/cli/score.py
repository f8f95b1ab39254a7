"""The command `phototriage score`."""

from __future__ import annotations

import argparse
import signal
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn, get_args

from pydantic import ValidationError

from phototriage.cli.exit_status import DONE, FILE_FAILED, INTERRUPTED, refuse, tell
from phototriage.cli.triage_options import add_triage_options, describe, triage_request
from phototriage.common import tables
from phototriage.common.errors import PhototriageError
from phototriage.common.tables import TableError
from phototriage.runtime import providers
from phototriage.runtime.providers import ProviderUnavailable
from phototriage.settings import Settings
from phototriage.triage.pipeline import TriageRequest
from phototriage.triage.schemas import Part

if TYPE_CHECKING:
    from phototriage.scoring.run import Start, Task


def add_to(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Its options, among those of the other commands."""
    parser = commands.add_parser("score", help="write all answers about many images as a Parquet table")
    parser.add_argument(
        "source",
        metavar="SOURCE",
        help="folder, .tar, list of paths (.txt), .csv or .parquet with a column of paths, or URL of one of these",
    )
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="PARQUET")
    parser.add_argument("--include", help=f"of {', '.join(get_args(Part))}; separated by commas")
    parser.add_argument("--column", help="of a table: where the paths are; `path` without it")
    parser.add_argument("--workers", type=_number, help="processes; one for each core without it")
    parser.add_argument("--engine", choices=("local", "ray"), default="local", help="ray: on all nodes of a cluster")
    parser.add_argument("--address", help="of a Ray cluster; without it, one is started on this machine")
    parser.add_argument(
        "--restart", action="store_true", help="begin anew, where another run has left its parts, or its output"
    )
    parser.add_argument("--near-duplicates", action="store_true", help="add the nearest earlier image, and a group")
    parser.add_argument(
        "--index", type=Path, metavar="DIR", help="of all that earlier runs have seen; implies --near-duplicates"
    )
    add_triage_options(parser)
    parser.set_defaults(run=run)


def run(options: argparse.Namespace, settings: Settings) -> int:
    """0: every image has an answer; 1: some have none, and their rows say why; 2: it can't be done."""
    try:
        from phototriage.scoring import run as score
        from phototriage.scoring.parts import PartsError
        from phototriage.scoring.photo_source import SourceError
        from phototriage.scoring.scorer import ScoringFailed

        start = _engine(options)
    except ImportError as error:
        extra = "batch" if options.engine == "ray" else "score"
        return refuse(
            f"score needs the package {error.name}, of the extra {extra!r}: pip install 'phototriage[{extra}]'"
        )
    signal.signal(signal.SIGTERM, _interrupt)  # a platform's way to say Ctrl-C
    try:
        task = _task(score.Task, options, triage_request(options), settings)
        tables.check_writable(options.output)
        return DONE if score.score(task, settings, start) else FILE_FAILED
    except ValidationError as error:
        return refuse(describe(error))
    except (PhototriageError, PartsError, ProviderUnavailable, ScoringFailed, SourceError, TableError) as error:
        return refuse(str(error))
    except OSError as error:
        return refuse(
            f"{error.filename or options.output}: {error.strerror or error}. What is done is kept: start again."
        )
    except KeyboardInterrupt:
        tell("stopped. What is done is kept: the same command goes on.")
        return INTERRUPTED


def _engine(options: argparse.Namespace) -> Start:
    """What scores shards. Raises ImportError."""
    if options.engine == "local":
        from phototriage.scoring.pool import ScorePool

        return ScorePool
    from phototriage.scoring.parts import folder_of
    from phototriage.scoring.ray_engine import RayEngine

    return partial(RayEngine, parts=folder_of(options.output), address=options.address)


def _task(make: type[Task], options: argparse.Namespace, request: TriageRequest, settings: Settings) -> Task:
    """On a GPU one process feeds it from many threads; on a CPU each core has a process of its own."""
    gpu = providers.choose(settings.provider)[0] == providers.CUDA
    return make(
        options.source,
        options.output,
        request,
        column=options.column,
        workers=options.workers or (1 if gpu and options.engine == "local" else None),
        threads=settings.threads if gpu else 1,
        restart=options.restart,
        near_duplicates=options.near_duplicates or options.index is not None,
        index=options.index,
    )


def _interrupt(_: int, __: object) -> NoReturn:
    raise KeyboardInterrupt


def _number(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"it is {text}, and at least 1 is needed")
    return value
