"""The command `phototriage reload`."""

from __future__ import annotations

import argparse
import signal

import psutil

from phototriage.cli.exit_status import DONE, refuse
from phototriage.server import launch
from phototriage.settings import PREFIX, Settings

MODELS = f"{PREFIX}MODELS_DIRECTORY"


def add_to(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Its options, among those of the other commands."""
    reload = commands.add_parser("reload", help="have the server of this machine read its models again")
    reload.add_argument("--port", default="3000", help="the server's; 3000 without it")
    reload.set_defaults(run=run)


def run(options: argparse.Namespace, _: Settings) -> int:
    """The server's log says what comes of it: nobody waits for an answer to a signal."""
    servers = launch.servers_on(options.port)
    if not servers:
        return refuse(
            f"phototriage serve runs on port {options.port} neither here nor for you. Name another: phototriage reload "
            "--port 3001"
        )
    for server in servers:
        try:
            models = server.environ()[MODELS]
            server.send_signal(signal.SIGHUP)
        except psutil.Error as error:
            return refuse(f"process {server.pid} can't be told: {error}")
        print(f"process {server.pid} reads {models} again; its log says what it takes up and what it refuses")
    return DONE
