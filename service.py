"""The BentoML service: it starts and supervises workers, and each of them hands every request to our application.

The only file that imports BentoML.
"""

from __future__ import annotations

import atexit
import logging
import os
import signal
import sys
from types import FrameType
from typing import TYPE_CHECKING, ClassVar, NoReturn

import bentoml
from starlette.types import ASGIApp, Receive, Scope, Send

from phototriage.errors import ModelFolderError
from phototriage.settings import MAX_DEADLINE_SECONDS, SettingsError, read_settings

if TYPE_CHECKING:
    from phototriage.http_api import HttpApi

SUPERVISOR = "_PHOTOTRIAGE_SUPERVISOR"  # in a worker's environment: the process that started it
WORKER_FAILED = signal.SIGUSR1

logger = logging.getLogger("bentoml.phototriage")


def supervise() -> None:
    """Prepare the process that is going to start the workers."""
    try:
        read_settings()
    except SettingsError as error:
        sys.exit(f"phototriage: {error}")
    os.environ[SUPERVISOR] = str(os.getpid())
    signal.signal(WORKER_FAILED, stop_all)


def stop_all(_: int, __: FrameType | None) -> None:
    """Have the supervisor stop in its usual way, but exit with 1."""
    atexit.register(os._exit, 1)
    os.kill(os.getpid(), signal.SIGTERM)


def give_up(reason: str) -> NoReturn:
    """End a worker that can't serve, and with it the server.

    Left to itself, BentoML would start the worker again, for ever, or in a container go on without any.
    """
    print(f"phototriage: {reason}", file=sys.stderr, flush=True)
    if os.environ.get(SUPERVISOR) == str(os.getppid()):
        os.kill(os.getppid(), WORKER_FAILED)
    os._exit(1)


def start_api() -> HttpApi:
    """The application with its models loaded, verified and warm, or the end of the process."""
    # Imported here, since the supervisor imports this module too, and would hold 60 MB of them for nothing.
    from phototriage.http_api import HttpApi
    from phototriage.models import load_models
    from phototriage.providers import ProviderUnavailable

    api = HttpApi()
    try:
        settings = read_settings()
        api.start(settings, load_models(settings))
    except (ModelFolderError, ProviderUnavailable, SettingsError) as error:
        give_up(str(error))
    return api


class Worker:
    """What is this photo, how hard is it, have we seen it before, what did the model look at?"""

    def __init__(self) -> None:
        """Verify, load and warm up; the worker takes no connection before this is done."""
        try:
            self.api = start_api()
        except Exception:
            logger.exception("The worker can't start")
            give_up("the worker can't start")
        EveryPath.worker = self

    before_workers = bentoml.on_deployment(supervise)

    @bentoml.on_shutdown  # type: ignore[untyped-decorator]
    def close(self) -> None:
        self.api.stop()


class EveryPath:
    """Stands before BentoML's own routes, so that each path has one answer, which is ours."""

    worker: ClassVar[Worker]  # there before the first request is

    def __init__(self, bentoml_application: ASGIApp) -> None:
        self._bentoml_application = bentoml_application

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._bentoml_application(scope, receive, send)
        else:
            await self.worker.api(scope, receive, send)


Phototriage = bentoml.service(
    name="phototriage",
    workers=1,
    # BentoML's timeout can't be left out. It never comes first, and the longest deadline keeps its timers few.
    traffic={"timeout": MAX_DEADLINE_SECONDS + 5},
    # Its metrics have a label with the caller's path, so that any caller could make as many series as it likes.
    metrics={"enabled": False},
    logging={"access": {"enabled": False}},
)(Worker)
Phototriage.add_asgi_middleware(EveryPath)
