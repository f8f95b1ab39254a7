"""Precision against recall of every method, everyday and hard pairs side by side."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.duplicate_scores import Part
from training.pairs.metrics import average_precision, counts_at

# Okabe & Ito (2008), which those with colour-blindness can tell apart; yellow is too pale for a line.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#000000")
STYLES = ("-", "--", "-.", ":", (0, (5, 1)), (0, (3, 1, 1, 1)), "-")
TICKS = (0, 0.5, 0.8, 0.9, 0.95, 0.98, 0.99, 1)
CLOSENESS = 0.003  # below this distance from 1 the axis is nearly even


def save_picture(panels: Mapping[str, Mapping[str, Part]], thresholds: Mapping[str, float], path: Path) -> None:
    """panels: by title, then by method. thresholds: where each method's curve has its dot."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(1, len(panels), figsize=(6 * len(panels), 6), layout="constrained", squeeze=False)
    for axis, (title, parts) in zip(axes[0], panels.items(), strict=True):
        _panel(axis, title, parts, thresholds)
    figure.savefig(path, dpi=110)
    pyplot.close(figure)


def curve(part: Part) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Recall and precision at each threshold, from the highest; equal similarities come together."""
    order = np.argsort(-part.similarities, kind="stable")
    ranked, same = part.similarities[order], part.truth.same[order]
    ends = np.flatnonzero(np.append(ranked[1:] < ranked[:-1], True))
    hits = np.cumsum(same)[ends]
    return hits / same.sum(), hits / (ends + 1)


def widened(share: Any) -> Any:
    """A share on an axis that gives the distance from 1 by its logarithm."""
    return np.log10((1 + CLOSENESS) / (1 - np.clip(share, 0, 1) + CLOSENESS))


def narrowed(place: Any) -> Any:
    """The inverse of `widened`."""
    return 1 + CLOSENESS - (1 + CLOSENESS) / 10 ** np.asarray(place)


def _panel(axis: Any, title: str, parts: Mapping[str, Part], thresholds: Mapping[str, float]) -> None:
    lines = []
    for i, (name, part) in enumerate(parts.items()):
        colour, style, letter = COLOURS[i % len(COLOURS)], STYLES[i % len(STYLES)], chr(ord("A") + i)
        label = f"{letter}  {name}, AP {average_precision(part.similarities, part.truth.same):.3f}"
        lines += axis.plot(*curve(part), color=colour, linestyle=style, linewidth=1.6, label=label)
        found = counts_at(part.similarities, part.truth.same, thresholds[name])
        at = (found.recall, found.precision)
        axis.plot(*at, "o", color=colour, markersize=12, markeredgecolor="white", clip_on=False, zorder=4)
        centred = {"ha": "center", "va": "center_baseline", "fontsize": 8, "fontweight": "bold"}
        axis.text(*at, letter, color="white", zorder=5, **centred)
    for scale in (axis.set_xscale, axis.set_yscale):
        scale("function", functions=(widened, narrowed))
    axis.set(xlim=(0, 1), ylim=(0.2, 1), xticks=TICKS, yticks=TICKS[1:], xlabel="recall", ylabel="precision")
    for side in (axis.xaxis, axis.yaxis):
        side.set_major_formatter(lambda value, _: f"{value:g}")
    axis.grid(alpha=0.25)
    n = len(next(iter(parts.values())).truth.same)
    axis.set_title(f"{title} pairs, n = {n:,}; dots: at the threshold", pad=12)
    axis.legend(handles=lines, loc="upper center", bbox_to_anchor=(0.5, -0.12), ncol=2, frameon=False, handlelength=3)
