"""What the commands that train have in common: figures, errors and interruptions told in one way."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterable

from phototriage.common.errors import PhototriageError
from phototriage.model_folder.manifest import Metric
from training.loop.run import AnyRun, EmbedderRun

INTERRUPTED = 130  # what shells report for Ctrl-C


def as_line(metric: Metric) -> str:
    """A figure as a line."""
    interval = f" [{metric.interval[0]:.4f}, {metric.interval[1]:.4f}]" if metric.interval else ""
    return f"{metric.name}, {metric.set} {metric.split} (n = {metric.n:,}): {metric.value:.4f}{interval}"


def print_skipped(unreadable: Iterable[tuple[str, str]]) -> None:
    """Tell which images can't be read, and why."""
    for key, reason in unreadable:
        print(f"skipped {key}: {reason}", file=sys.stderr)


def run_command(train: Callable[[], AnyRun]) -> int:
    """0 when done, 1 with a message where the images, the folder or an expression can't be used, 130 when
    interrupted."""
    try:
        run = train()
    except (PhototriageError, re.error) as error:
        print(f"error: {error.detail if isinstance(error, PhototriageError) else error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("stopped: the same command goes on from the last checkpoint", file=sys.stderr)
        return INTERRUPTED
    for metric in run.metrics:
        print(as_line(metric))
    if isinstance(run, EmbedderRun):
        print(f"Threshold: {run.decision.threshold}")
    print(f"Next: python -m training.export --name {run.name}")
    return 0
