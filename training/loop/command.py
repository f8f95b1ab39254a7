"""What the commands that train have in common: figures, errors and interruptions printed in one way."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterable

from phototriage.common.errors import PhototriageError
from phototriage.common.file_names import printable
from phototriage.model_folder.manifest import Metric
from training.loop.run_folder import AnyRun, EmbedderRun

REFUSED, INTERRUPTED = 2, 130  # as the command phototriage ends; 130 is what shells report for Ctrl-C


def as_line(metric: Metric) -> str:
    """A figure as a line."""
    interval = f" [{metric.interval[0]:.4f}, {metric.interval[1]:.4f}]" if metric.interval else ""
    return f"{metric.name}, {metric.set} {metric.split} (n = {metric.n:,}): {metric.value:.4f}{interval}"


def print_skipped(unreadable: Iterable[tuple[str, str]]) -> None:
    """Tell which images can't be read, and why."""
    for key, reason in unreadable:
        print(printable(f"skipped {key}: {reason}"), file=sys.stderr)


def exit_status(
    work: Callable[[], None],
    *,
    consequence: str = "",
    goes_on: str | None = None,
    errors: tuple[type[Exception], ...] = (),
) -> int:
    """0 when done, 2 with a message where images, folder or an expression can't be used, or for one of `errors`.

    consequence: what comes of an error. goes_on: from where the command goes on that was interrupted, which is 130.
    """
    try:
        work()
    except (PhototriageError, re.error) + errors as error:  # noqa: RUF005 — mypy knows no unpacking here
        reason = error.detail if isinstance(error, PhototriageError) else error
        print(printable(f"error: {consequence}{reason}"), file=sys.stderr)
        return REFUSED
    except KeyboardInterrupt:
        if goes_on is None:
            raise
        print(f"stopped: the same command goes on from {goes_on}", file=sys.stderr)
        return INTERRUPTED
    return 0


def run_command(train: Callable[[], AnyRun]) -> int:
    """A command that trains, with its figures; the answer is that of `exit_status`."""

    def work() -> None:
        run = train()
        for metric in run.metrics:
            print(as_line(metric))
        if isinstance(run, EmbedderRun):
            print(f"Threshold: {run.decision.threshold}")
        print(f"Next: python -m training.export --name {run.name}")

    return exit_status(work, goes_on="the last checkpoint")
