"""Tables of what scorers tell of mistakes and of foreign images, with intervals paired over the images."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray

from phototriage.difficulty.signals import Floats
from training.statistics import mistakes as metrics
from training.statistics.tables import table

WORKLOAD = 0.05
RESAMPLES = 1000  # of the images, for an interval
Flags = NDArray[np.bool_]
Values = Mapping[str, Floats]  # (n,) by scorer


def bounds(statistic: Callable[[NDArray[np.int64]], float], n: int) -> tuple[float, float]:
    """The interval of a statistic of chosen rows of n images."""
    return metrics.bootstrap(statistic, n, resamples=RESAMPLES)


def with_bounds(statistic: metrics.Statistic, score: Floats, truth: Flags) -> str:
    low, high = bounds(lambda rows: statistic(score[rows], truth[rows]), len(truth))
    return f"{statistic(score, truth):.3f} ({low:.3f}–{high:.3f})"


def gain(statistic: metrics.Statistic, one: Floats, other: Floats, truth: Flags) -> str:
    """By how much `one` has more."""

    def difference(rows: NDArray[np.int64]) -> float:
        return statistic(one[rows], truth[rows]) - statistic(other[rows], truth[rows])

    low, high = bounds(difference, len(truth))
    return f"{difference(np.arange(len(truth))):+.3f} ({low:+.3f} to {high:+.3f})"


def mistakes_table(values: Values, answer: str, wrong: Flags) -> str:
    """A row a scorer, the best first, and what `answer` has more."""
    rows = []
    for name in sorted(values, key=lambda each: -metrics.auroc(values[each], wrong)):
        cells = [f"**{name}**" if name == answer else name]
        cells += [with_bounds(each, values[name], wrong) for each in (metrics.auroc, metrics.average_precision)]
        cells.append(f"{1000 * metrics.risk_area(values[name], wrong):.2f}")
        cells.append(str(metrics.left_over(values[name], wrong, WORKLOAD)))
        for statistic in (metrics.auroc, metrics.average_precision):
            cells.append("" if name == answer else gain(statistic, values[answer], values[name], wrong))
        rows.append(cells)
    head = ["scorer", "AUROC", "AP", "risk-coverage area, ‰", f"left after the hardest {WORKLOAD:.0%}"]
    return table([*head, f"{answer}'s AUROC is more by", "its AP is more by"], rows)


def families_table(values: Values, strong: Mapping[str, Flags]) -> str:
    """A row a family's mistakes (S, n), and all together: images that most of its models get wrong."""
    rows = []
    for family, wrong in [*strong.items(), ("all", np.concatenate(list(strong.values())))]:
        hard = wrong.mean(0) >= 0.5
        cells = [family, f"{wrong.mean():.3f}", str(int(hard.sum()))]
        if hard.any():
            best, entropy = values["p_hard"], values["entropy"]
            cells.append(with_bounds(metrics.auroc, best, hard))
            cells += [f"{metrics.auroc(values[name], hard):.3f}" for name in ("p_error", "score", "entropy")]
            cells.append(gain(metrics.auroc, best, entropy, hard))
            cells.append(", ".join(f"{metrics.average_precision(each, hard):.3f}" for each in (best, entropy)))
            cells.append(", ".join(str(metrics.left_over(each, hard, WORKLOAD)) for each in (best, entropy)))
        rows.append(cells + ["–"] * (10 - len(cells)))
    head = ["family", "wrong about", "most err", "AUROC of p_hard", "p_error", "score", "entropy"]
    head += ["p_hard is more than entropy by", "AP: p_hard, entropy"]
    return table([*head, f"left after the hardest {WORKLOAD:.0%}: p_hard, entropy"], rows)


def foreign_table(values: Values, kinds: Mapping[str, Values]) -> str:
    """Whether images of each kind are told from those of the classes."""
    others = ("score", "nearest neighbours", "energy", "entropy")
    together = {name: np.concatenate([of[name] for of in kinds.values()]) for name in ("p_foreign", *others)}
    rows = []
    for kind, of in [("all", together), *kinds.items()]:
        both = {name: np.concatenate([values[name], of[name]]) for name in ("p_foreign", *others)}
        truth = np.repeat([False, True], [len(values["p_foreign"]), len(of["p_foreign"])])
        cells = [kind, str(int(truth.sum()))]
        cells += [with_bounds(each, both["p_foreign"], truth) for each in (metrics.auroc, metrics.found_at)]
        rows.append([*cells, *(f"{metrics.auroc(both[name], truth):.3f}" for name in others)])
    head = ["kind", "n", "AUROC of p_foreign", "found at 1 % false"]
    return table([*head, *(f"AUROC of {name}" for name in others)], rows)


def reliability_line(name: str, said: Floats, wrong: Flags) -> str:
    """What probabilities (n,) say, and how many of the mistakes (S, n) are."""
    skill = metrics.interval_of(lambda one, rows: metrics.brier_skill(said[rows], one), wrong)
    return f"{name}: says {said.mean():.4f} on average, {wrong.mean():.4f} are; Brier skill {skill}."
