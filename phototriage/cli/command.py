"""The `phototriage` command: the server, and what it answers, for files and without a server."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from phototriage import __version__
from phototriage.cli import (
    answers,
    collection,
    compare,
    config,
    duplicates,
    index,
    models,
    ranking,
    reload,
    saliency,
    score,
    serve,
)
from phototriage.cli.exit_status import refuse
from phototriage.common.errors import ModelFolderError
from phototriage.runtime.providers import ProviderUnavailable
from phototriage.settings import SettingsError, read_settings

COMMANDS = (serve, reload, answers, saliency, ranking, duplicates, compare, score, index, collection, models, config)

DESCRIPTION = "What is this photo, how hard is it, have we seen it before, and what did the model look at?"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command. 0: all went well; 1: some file failed; 2: settings, models or usage don't fit."""
    options = parser().parse_args(arguments)
    try:
        status: int = options.run(options, read_settings())
        return status
    except (SettingsError, ModelFolderError, ProviderUnavailable) as error:
        return refuse(str(error))


def parser() -> argparse.ArgumentParser:
    """Each command sets `run`, a function of its options and the settings that gives the exit status."""
    whole = argparse.ArgumentParser(prog="phototriage", description=DESCRIPTION)
    whole.add_argument("--version", action="version", version=f"%(prog)s {__version__}")
    commands = whole.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for each in COMMANDS:
        each.add_to(commands)
    return whole
