"""Whether a score means what it says: mistakes seen against probability said, and how the scores are spread."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from training.statistics.intervals import Z95

BINS = 10
BLUE, ORANGE, GREY = "#0072B2", "#D55E00", "#999999"  # Okabe & Ito (2008)


def reliability(
    score: NDArray[np.floating], wrong: NDArray[np.bool_]
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Of BINS equally large groups of images, from the lowest scores up: the mean score, the share of mistakes among
    the networks of `wrong` (S, n), and half of its 95 % interval. Networks agree on what is hard, so the interval is
    that of the images' own shares of mistakes, not of as many independent answers."""
    groups = np.array_split(np.argsort(score, kind="stable"), BINS)
    shares = wrong.mean(0)
    said = np.array([score[group].mean() for group in groups])
    seen = np.array([shares[group].mean() for group in groups])
    half = np.array([Z95 * shares[group].std(ddof=1) / np.sqrt(len(group)) for group in groups])
    return said, seen, half


def save_picture(score: NDArray[np.floating], wrong: NDArray[np.bool_], path: Path) -> None:
    """Write both panels as PNG."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, (left, right) = pyplot.subplots(1, 2, figsize=(11, 4.6), layout="constrained")
    _reliability(left, score, wrong)
    _spread(right, score, wrong)
    figure.savefig(path, dpi=110)
    pyplot.close(figure)


def _reliability(axis: Any, score: NDArray[np.floating], wrong: NDArray[np.bool_]) -> None:
    said, seen, half = reliability(score, wrong)
    axis.plot([0, 1], [0, 1], color=GREY, linewidth=1, label="as said")
    axis.axhline(wrong.mean(), color=GREY, linestyle=":", label=f"all images, {wrong.mean():.2f}")
    axis.errorbar(said, seen, half, fmt="o", color=BLUE, capsize=3, label="tenths of the images, 95 % interval")
    axis.set(xlabel="score", ylabel="share of reference networks that err", xlim=(0, 1), ylim=(0, 1))
    axis.set_title(f"Reliability, {len(score):,} images and {len(wrong)} networks")
    axis.legend(loc="upper left")


def _spread(axis: Any, score: NDArray[np.floating], wrong: NDArray[np.bool_]) -> None:
    edges = np.linspace(0, 1, 41)
    share = wrong.mean(0)
    parts = {"no network errs": share == 0, "some err": (share > 0) & (share < 1), "all err": share == 1}
    colours = (BLUE, GREY, ORANGE)
    axis.hist([score[part] for part in parts.values()], edges, stacked=True, color=colours, label=list(parts))
    axis.set(xlabel="score", ylabel="images", title="Where the scores lie", xlim=(0, 1))
    axis.legend(loc="upper right")
