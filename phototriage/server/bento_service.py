"""The BentoML service: it starts and supervises workers, and each of them hands every request to our application.

The only module that imports BentoML. The process that starts the workers imports it too, so that models and the
application are imported in `start_api` alone.
"""

from __future__ import annotations

import asyncio
import atexit
import logging
import os
import shutil
import signal
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, ClassVar, NoReturn

import bentoml
import psutil
from starlette.types import ASGIApp, Receive, Scope, Send

from phototriage.common import shipped_models
from phototriage.common.errors import PhototriageError
from phototriage.common.process import has_terminal
from phototriage.server import connections, launch
from phototriage.settings import MAX_DEADLINE_SECONDS, SettingsError, read_settings

if TYPE_CHECKING:
    from phototriage.server.http_api import HttpApi

# In a worker's environment: the process that started it, and the folder in which each worker leaves its number.
SUPERVISOR, WORKERS = "_PHOTOTRIAGE_SUPERVISOR", "_PHOTOTRIAGE_WORKERS"
WORKER_FAILED, RELOAD = signal.SIGUSR1, signal.SIGHUP

WATCH_SECONDS = 1.0  # between looks for workers that have died; BentoML's own are ten seconds apart
HANGUP_SECONDS = 1.0  # a shell tells what it has started of its end before its terminal is gone

logger = logging.getLogger("bentoml.phototriage")


def supervise() -> None:
    """Prepare the process that is going to start the workers."""
    os.environ[WORKERS] = tempfile.mkdtemp(prefix="phototriage-")
    atexit.register(remove_own_folders)
    try:
        settings = read_settings()
    except SettingsError as error:
        sys.exit(f"phototriage: {error}")
    if notice := shipped_models.notice(settings.models_directory):
        print(f"phototriage: {notice}", file=sys.stderr, flush=True)
    os.environ[SUPERVISOR] = str(os.getpid())
    signal.signal(WORKER_FAILED, stop_all)
    # nohup has SIGHUP ignored: such a server is to outlive its terminal.
    if has_terminal() and signal.getsignal(RELOAD) is not signal.SIG_IGN:
        hook_circus(end_without_terminal, always=launch.ATTACHED in os.environ)
    else:
        hook_circus(lambda: None)


def end_without_terminal() -> None:
    """Have the supervisor stop in its usual way if its terminal has been closed."""
    if not has_terminal():
        os.kill(os.getpid(), signal.SIGTERM)


def hook_circus(end_if_closed: Callable[[], None], *, always: bool = False) -> None:
    """Have BentoML's process manager reload models at SIGHUP, where it would end the workers and start new ones, and
    look for workers that have died every second.

    SIGHUP is also what tells that a terminal was closed: `end_if_closed` is called after it, and every second if
    `always`, for a server whose terminal tells only the program that started it."""
    from circus.controller import Controller
    from circus.sighandler import SysHandler
    from tornado.ioloop import PeriodicCallback

    def hang_up(handler: SysHandler) -> None:
        end_if_closed()
        have_others_reload()
        loop = handler.controller.loop
        loop.add_callback_from_signal(lambda: loop.call_later(HANGUP_SECONDS, end_if_closed))

    SysHandler.handle_hup = hang_up
    begin = Controller.start

    def begin_watching(controller: Controller) -> None:
        controller.check_delay = WATCH_SECONDS * 1000
        if always:
            PeriodicCallback(end_if_closed, WATCH_SECONDS * 1000).start()
        begin(controller)

    Controller.start = begin_watching


def stop_all(_: int, __: FrameType | None) -> None:
    """Have the supervisor stop in its usual way, but exit with 1."""
    atexit.register(os._exit, 1)
    atexit.register(remove_own_folders)  # the last that is registered is the first that is called
    os.kill(os.getpid(), signal.SIGTERM)


def remove_own_folders() -> None:
    for folder in (os.environ[WORKERS], os.environ.get(launch.TEMPORARY_HOME)):
        if folder is not None:
            shutil.rmtree(folder, ignore_errors=True)


def give_up(reason: str) -> NoReturn:
    """End a worker that can't serve, and with it the server.

    Left to itself, BentoML would start the worker again, for ever, or in a container go on without any.
    """
    print(f"phototriage: {reason}", file=sys.stderr, flush=True)
    if os.environ.get(SUPERVISOR) == str(os.getppid()):
        os.kill(os.getppid(), WORKER_FAILED)
    os._exit(1)


def have_others_reload() -> None:
    """Have every worker but this process read the models directory again."""
    supervisor = int(os.environ[SUPERVISOR])
    for file in Path(os.environ[WORKERS]).iterdir():
        worker = int(file.name)
        if worker != os.getpid() and parent_of(worker) == supervisor:
            os.kill(worker, RELOAD)


def parent_of(process: int) -> int | None:
    """None if it is gone: its number may be another's by now."""
    try:
        return int(psutil.Process(process).ppid())
    except psutil.NoSuchProcess:
        return None


def start_api() -> HttpApi:
    """The application with its models loaded, verified and warm, or the end of the process."""
    # Imported here, since the supervisor imports this module too, and would hold 60 MB of them for nothing.
    from phototriage.common.memory import give_back_large_blocks
    from phototriage.common.metrics import forget_the_dead
    from phototriage.common.process import end_with_parent
    from phototriage.models.model_set import load_models
    from phototriage.runtime import providers
    from phototriage.server.access import KeyFileError
    from phototriage.server.http_api import HttpApi

    end_with_parent()
    forget_the_dead()
    give_back_large_blocks()
    api = HttpApi()
    try:
        settings = read_settings()
        settings = settings.serving(gpu=providers.choose(settings.provider)[0] == providers.CUDA)
        connections.Connection.head_seconds = settings.deadline_seconds
        connections.Connection.writes_lines = settings.log_requests
        models = load_models(settings)
        api.start(settings, models)
    except (KeyFileError, PhototriageError, providers.ProviderUnavailable, SettingsError) as error:
        give_up(str(error))
    workers = Path(os.environ[WORKERS])
    if models.default_note and not any(workers.iterdir()):  # the first worker says it for all
        print(f"phototriage: {models.default_note}", file=sys.stderr, flush=True)
    (workers / str(os.getpid())).touch()
    return api


def is_traced() -> bool:
    """Whether BentoML's own setting says where to send spans of OpenTelemetry."""
    from bentoml._internal.configuration.containers import BentoMLContainer

    return BentoMLContainer.tracing.exporter_type.get() is not None


class Worker:
    """What is this photo, how hard is it, have we seen it before, what did the model look at?"""

    def __init__(self) -> None:
        """Verify, load and warm up; the worker takes no connection before this is done."""
        try:
            self.api = start_api()
        except Exception:
            logger.exception("The worker can't start")
            give_up("the worker can't start")
        self.api.after_reload(have_others_reload)
        if not is_traced():
            # BentoML's own layers cost half a millisecond a request, and without spans bring nothing.
            connections.Connection.application = self.api
        EveryPath.worker = self

    before_workers = bentoml.on_deployment(supervise)

    @bentoml.on_shutdown  # type: ignore[untyped-decorator]
    def close(self) -> None:
        self.api.stop()


def with_span(scope: Scope) -> Scope:
    """A request in whose head the caller's step of the trace is replaced by the one that is being recorded here."""
    from opentelemetry import propagate

    carrier: dict[str, str] = {}
    propagate.inject(carrier)
    own = [(name.encode(), value.encode()) for name, value in carrier.items()]
    others = [(name, value) for name, value in scope["headers"] if name.decode("latin-1") not in carrier]
    return {**scope, "headers": [*others, *own]}


class EveryPath:
    """Stands before BentoML's own routes, so that each path has one answer, which is ours."""

    worker: ClassVar[Worker]  # there before the first request is

    def __init__(self, bentoml_application: ASGIApp) -> None:
        self._bentoml_application = bentoml_application

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            loop = asyncio.get_running_loop()
            loop.add_signal_handler(RELOAD, lambda: loop.create_task(self.reload()))
            await self._bentoml_application(scope, receive, send)
        else:
            await self.worker.api(with_span(scope), receive, send)

    async def reload(self) -> None:
        """Told by a signal: what comes of it is written down, since nobody waits for an answer."""
        try:
            logger.info("Models read again: %s", await self.worker.api.reload_models())
        except PhototriageError as error:
            logger.warning("Models not read again: %s", error.detail)


def number_of_workers() -> int:
    """1 where the settings don't fit, which the supervisor is going to say."""
    try:
        return read_settings().workers
    except SettingsError:
        return 1


if os.environ.get(SUPERVISOR) == str(os.getppid()):
    connections.install()  # before the server looks for its protocol, which it does before it makes the worker

Phototriage = bentoml.service(
    name="phototriage",
    workers=number_of_workers(),
    # BentoML's timeout can't be left out. It never comes first, and the longest deadline keeps its timers few.
    traffic={"timeout": MAX_DEADLINE_SECONDS + 5},
    # Its metrics have a label with the caller's path, so that any caller could make as many series as it likes.
    metrics={"enabled": False},
    logging={"access": {"enabled": False}},
)(Worker)
Phototriage.add_asgi_middleware(EveryPath)
