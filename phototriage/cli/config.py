"""The command `phototriage config`."""

from __future__ import annotations

import argparse

from phototriage.cli.exit_status import DONE, say
from phototriage.settings import PREFIX, Settings, is_secret


def add_to(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Its options, among those of the other commands."""
    config = commands.add_parser("config", help="print the settings, as variables of the environment")
    config.set_defaults(run=run)


def run(_: argparse.Namespace, settings: Settings) -> int:
    """Every setting with its description; keys are not shown."""
    for name, field in Settings.model_fields.items():
        value = getattr(settings, name)
        print(f"# {field.description}")
        if is_secret(name, value):
            value = "*****" if value else None
        elif isinstance(value, tuple):
            value = ",".join(value)
        say(f"{PREFIX}{name.upper()}={'' if value is None else value}")
    return DONE
