"""`phototriage compare`: two images to an answer and a picture, or a table of pairs to a table of answers."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from phototriage.cli.exit_status import DONE, FILE_FAILED, refuse, say, tell
from phototriage.cli.model_options import add_model_options
from phototriage.common import tables
from phototriage.common.atomic_writes import atomic_file
from phototriage.common.csv_rows import place_of
from phototriage.common.errors import PhototriageError, UnknownModel
from phototriage.common.progress import Progress
from phototriage.common.tables import Table, TableError
from phototriage.images.pixels import ImageLimits
from phototriage.models.embedder import Embedder
from phototriage.models.model_set import Models, load_models
from phototriage.scoring.image_files import Embedded, embed_files, read_file, reason
from phototriage.settings import Settings
from phototriage.triage import comparison
from phototriage.triage.comparison import Side, Thresholds, judge

PATH_COLUMNS = ("path_a", "path_b")
ANSWER_COLUMNS = ("duplicate", "similarity", "probability", "decision", "verified", "error")

Row = list[object]


def add_to(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Its options, among those of the other commands."""
    compare = commands.add_parser(
        "compare", help="tell of two images, or of each pair in a table, whether they are one"
    )
    compare.add_argument("input", type=Path, metavar="A or PAIRS.csv", help="a table has columns path_a and path_b")
    compare.add_argument("other", type=Path, nargs="?", metavar="B", help="the other image")
    compare.add_argument(
        "-o", "--output", type=Path, metavar="FILE", help="of two images a picture (PNG); of a table, the answers (CSV)"
    )
    add_model_options(compare)
    compare.set_defaults(run=run)


def run(options: argparse.Namespace, settings: Settings) -> int:
    thresholds = Thresholds(options.threshold, options.min_probability)
    try:
        models = load_models(settings)
        if options.other is not None:
            sides = options.input, options.other
            return compare_two(models, sides, options.output, options.model, thresholds, settings.image_limits)
        if options.output is None:
            return refuse("a table of pairs needs an output: -o ANSWERS.csv. To compare two images, name both.")
        model = models.embedder(options.model)
        whole = write_answers(options.input, options.output, model, thresholds, settings.image_limits)
    except (TableError, UnknownModel) as error:
        return refuse(str(error))
    return DONE if whole else FILE_FAILED


def compare_two(
    models: Models,
    paths: tuple[Path, Path],
    output: Path | None,
    model: str | None,
    thresholds: Thresholds,
    limits: ImageLimits,
) -> int:
    """Print the answer about two image files, as /v1/duplicates gives it, and draw it into the file `output`, if there
    is one."""
    sides = []
    for path in paths:
        try:
            sides.append(Side(str(path), "image", read_file(path, limits)))
        except (PhototriageError, OSError) as error:
            tell(f"{path}: {reason(error)}")
            return FILE_FAILED
    try:
        a, b = sides
        if output is None:
            answer = comparison.duplicates(models, a, b, model, thresholds, limits=limits)
        else:
            answer, png = comparison.drawn(models, a, b, model, thresholds, limits=limits)
            with atomic_file(output) as part:
                part.write_bytes(png)
    except UnknownModel:
        raise
    except PhototriageError as error:
        tell(error.detail)
        return FILE_FAILED
    except OSError as error:
        return refuse(f"{output}: {error.strerror or error}")
    print(answer.model_dump_json(indent=2, exclude_unset=True))
    return DONE


def write_answers(pairs: Path, output: Path, model: Embedder, thresholds: Thresholds, limits: ImageLimits) -> bool:
    """Write a table of pairs with an answer in each row.

    Paths that are relative start at the table's folder. Each file is embedded once, however often it is named.
    Returns whether all could be read; where not, `error` says why. Raises TableError.
    """
    tables.check_writable(output)
    table = tables.read(pairs)
    columns = _path_columns(table, pairs)
    files = [[Path(os.path.realpath(pairs.parent / row[column])) for column in columns] for row in table.rows]
    distinct = list(dict.fromkeys(path for pair in files for path in pair))
    embedded = embed_files(model, distinct, limits, Progress(len(distinct)))
    places = {path: place for place, path in enumerate(embedded.paths)}
    progress, answers = Progress(len(files), title="compared: ", unit="pairs"), []
    for pair in files:
        answers.append(_answer(model, thresholds, embedded, places, pair))
        progress.step(1)
    rows = [[*row, *answer] for row, answer in zip(table.rows, answers, strict=True)]
    tables.write(output, [*table.header, *ANSWER_COLUMNS], rows)
    duplicates, failed = sum(row[0] == 1 for row in answers), sum(row[0] == "" for row in answers)
    say(f"{output}: pairs: {len(rows)}, of {len(distinct)} images; duplicates: {duplicates}; errors: {failed}")
    return not failed


def _path_columns(table: Table, pairs: Path) -> list[int]:
    """Where the paths stand. Raises TableError if they don't, in any row, or if a column of the answer's is taken."""
    remedy = f"It needs one {' and one '.join(PATH_COLUMNS)}."
    places = [place_of(str(pairs), name, table.header, remedy) for name in PATH_COLUMNS]
    for name in ANSWER_COLUMNS:
        if name in table.header:
            raise TableError(f"{pairs} has a column called {name}, which is to be written. Rename or remove it.")
    for line, row in zip(table.lines, table.rows, strict=True):
        for name, place in zip(PATH_COLUMNS, places, strict=True):
            if not row[place].strip():
                raise TableError(f"{pairs}, line {line}: {name} names no file. Fill it in, or take the row away.")
    return places


def _answer(
    model: Embedder, thresholds: Thresholds, embedded: Embedded, places: dict[Path, int], pair: list[Path]
) -> Row:
    """The ANSWER_COLUMNS of two files."""
    failures = embedded.failures
    errors = [f"{name}: {failures[path]}" for name, path in zip(PATH_COLUMNS, pair, strict=True) if path in failures]
    if errors:
        return ["", "", "", "", "", "; ".join(errors)]
    a, b = (embedded.image(places[path]) for path in pair)
    answer = judge(model, a, b, thresholds).answer
    numbers = f"{answer.similarity:.6f}", f"{answer.probability:.6f}"
    return [int(answer.is_duplicate), *numbers, answer.decision, int(answer.verified), ""]
