"""The command `phototriage serve`."""

from __future__ import annotations

import argparse
import os

from phototriage.cli.exit_status import refuse, tell
from phototriage.common.process import end_with_parent
from phototriage.models.model_set import folders_of
from phototriage.server import launch
from phototriage.server.free_port import PortUnavailable, address_of
from phototriage.settings import Settings


def add_to(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Its options, among those of the other commands."""
    serve = commands.add_parser("serve", help="answer over HTTP until Ctrl-C or SIGTERM")
    serve.add_argument("--host", default="0.0.0.0", help="address to listen on; all of this machine without it")  # noqa: S104
    serve.add_argument("--port", default="3000", help="3000 without it")
    serve.add_argument(
        "--attached",
        action="store_true",
        help="stop when the terminal is closed or what has started the server ends, as make serve does",
    )
    serve.set_defaults(run=run)


def run(options: argparse.Namespace, settings: Settings) -> int:
    """The server takes this process's place, so that signals reach it and its memory holds none of the command's.

    Returns only where the server can't be started. Raises ModelFolderError.
    """
    folders_of(settings)
    try:
        address = address_of(options.host, options.port)
    except PortUnavailable as error:
        return refuse(str(error))
    environment = launch.environment(settings, os.environ)
    if options.attached:
        end_with_parent()  # which the server goes on to do
        environment |= {launch.ATTACHED: "1"}
    tell(
        f"process {os.getpid()} serves {settings.models_directory}; to have it read its models again: "
        f"kill -HUP {os.getpid()}, or phototriage reload --port {options.port}"
    )
    return launch.replace_this_process(launch.command(address, options.port), environment)
