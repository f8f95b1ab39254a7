"""How the server is started from any folder: BentoML's command, and the environment of its processes."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import NoReturn

import psutil

from phototriage.common.process import ONE_THREAD
from phototriage.settings import PREFIX, Settings, SettingsError

SERVICE = "phototriage.server.bento_service:Phototriage"
# In the server's environment: a folder of BentoML's that goes away with the server.
TEMPORARY_HOME = "_PHOTOTRIAGE_HOME"
HOME_PREFIX = "phototriage-bentoml-"
ATTACHED = "_PHOTOTRIAGE_ATTACHED"  # in the environment of a server that is to end with the terminal of its start
# Where phototriage lies, which is on Python's path anyway. BentoML's processes import from their working directory
# first, so in the user's a file json.py or numpy.py would be taken for the module.
IMPORTED_FROM = Path(__file__).resolve().parents[2]


def command(address: str, port: str) -> list[str]:
    """What the process of the server runs."""
    serve = [sys.executable, "-P", "-m", "bentoml", "serve", SERVICE, "--working-dir", str(IMPORTED_FROM)]
    return [*serve, "--host", address, "--port", port]


def environment(settings: Settings, given: Mapping[str, str]) -> dict[str, str]:
    """The server's, made from that of its caller. Paths are absolute, since workers have another working directory.

    Libraries for matrices have one thread unless the caller says otherwise: requests run side by side already, and two
    pairs of photos at once, each with a thread for each core, hinder each other.
    """
    threads = {} if any(name in given for name in ONE_THREAD) else dict.fromkeys(ONE_THREAD, "1")
    variables = {"BENTOML_DO_NOT_TRACK": "True", **threads, **given, "PYTHONSAFEPATH": "1"}
    for name in Settings.model_fields:
        if isinstance(value := getattr(settings, name), Path):
            variables[f"{PREFIX}{name.upper()}"] = str(value.absolute())
    for name in ("BENTOML_CONFIG", "BENTOML_HOME"):
        if name in given:
            variables[name] = str(Path(given[name]).absolute())
    if "BENTOML_CONFIG" in given and not Path(variables["BENTOML_CONFIG"]).is_file():
        raise SettingsError(f"BENTOML_CONFIG={given['BENTOML_CONFIG']!r} names no file. Correct it, or leave it out.")
    if "BENTOML_HOME" not in given:
        # Servers that share one delete each other's metrics.
        remove_abandoned_homes()
        # With this process's number, which is the server's, too, since it takes this one's place.
        home = tempfile.mkdtemp(prefix=f"{HOME_PREFIX}{os.getpid()}-")
        variables["BENTOML_HOME"] = variables[TEMPORARY_HOME] = home
    return variables


def remove_abandoned_homes() -> None:
    """The homes of servers that were killed before they could remove theirs."""
    for folder in Path(tempfile.gettempdir()).glob(f"{HOME_PREFIX}*"):
        number = folder.name.removeprefix(HOME_PREFIX).partition("-")[0]
        if number.isdecimal() and not psutil.pid_exists(int(number)):
            shutil.rmtree(folder, ignore_errors=True)


def servers_on(port: str) -> list[psutil.Process]:
    """The processes of this machine's servers on that port, of all hosts, that `command` has started and this user may
    see."""
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            line = process.cmdline()
            if SERVICE in line and line[-2:] == ["--port", port]:
                found.append(process)
    return found


def replace_this_process(command: list[str], environment: Mapping[str, str]) -> NoReturn:
    """What it has said is written first."""
    sys.stdout.flush()
    sys.stderr.flush()
    os.execve(command[0], command, environment)  # noqa: S606
