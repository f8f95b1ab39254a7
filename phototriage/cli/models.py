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
    """Two lines for each model: what it is, and the licence of its training data."""
    for info in responses.list_models(load_models(settings)).models:
        mark = "default" if info.default else ""
        print(f"{info.name}\t{info.kind}\t{info.version}\t{mark}\t{', '.join(info.labels)}".rstrip())
        print(f"\ttrained on {info.data.name}, licence: {info.data.licence}")
    return DONE
