"""The command `phototriage models`."""

from __future__ import annotations

import argparse

from phototriage.cli.exit_status import DONE
from phototriage.models.model_set import load_models
from phototriage.settings import Settings
from phototriage.triage import responses


def add_to(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Its options, among those of the other commands."""
    models = commands.add_parser("models", help="verify and list the models, and whose photos they were trained on")
    models.set_defaults(run=run)


def run(_: argparse.Namespace, settings: Settings) -> int:
    """A line for each model: what it is, and the licence of its training data."""
    for info in responses.list_models(load_models(settings)).models:
        mark = "default" if info.default else ""
        trained_on = f"trained on {info.data.name}, licence: {info.data.licence}"
        print(info.name, info.kind, info.version, mark, ", ".join(info.labels), trained_on, sep="\t")
    return DONE
