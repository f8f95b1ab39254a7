"""Whether probabilities mean what they say: mistakes seen against those said."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from training.statistics.intervals import Z95

BINS = 10
LEAST = 1e-3  # where an axis begins: a tenth without mistakes is drawn there
BLUE, GREY = "#0072B2", "#999999"  # Okabe & Ito (2008)


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


def save_picture(
    error: NDArray[np.floating],
    own: NDArray[np.bool_],
    hard: NDArray[np.floating],
    others: NDArray[np.bool_],
    path: Path,
) -> None:
    """Write as PNG: p_error (n,) against the classifier's own mistakes (1, n), p_hard (n,) against those of other
    models (S, n). Most probabilities are small, so axes are logarithmic."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(1, 2, figsize=(11, 4.6), layout="constrained")
    _reliability(axes[0], error, own, "p_error", "share that the classifier gets wrong")
    _reliability(axes[1], hard, others, "p_hard", "share of good models of other families that err")
    figure.savefig(path, dpi=110)
    pyplot.close(figure)


def _reliability(axis: Any, said: NDArray[np.floating], wrong: NDArray[np.bool_], name: str, seen_name: str) -> None:
    said_means, seen, half = reliability(said, wrong)
    axis.plot([LEAST, 1], [LEAST, 1], color=GREY, linewidth=1, label="as said")
    axis.axhline(wrong.mean(), color=GREY, linestyle=":", label=f"all images, {wrong.mean():.3f}")
    said_means, shown = np.maximum(said_means, LEAST), np.maximum(seen, LEAST)
    bars = [shown - np.maximum(seen - half, LEAST), half]
    axis.errorbar(
        said_means,
        shown,
        bars,
        fmt="o",
        color=BLUE,
        capsize=3,
        label="tenths of the images, 95 % interval (at the bottom: none)",
    )
    axis.set(xlabel=name, ylabel=seen_name, xscale="log", yscale="log", xlim=(LEAST, 1), ylim=(LEAST * 0.9, 1))
    axis.set_title(f"{name}, {len(said):,} images" + (f" and {len(wrong)} models" if len(wrong) > 1 else ""))
    axis.legend(loc="upper left")
