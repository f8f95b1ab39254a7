"""The figures of all sets as Markdown, as JSON, and as a model folder's metrics."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from benchmarks.kinds.deciders import SERVED
from benchmarks.kinds.figures import Decided
from phototriage.model_folder.manifest import Metric
from training.loop.evaluation import metric_of
from training.statistics.intervals import Figure
from training.statistics.tables import short, table, with_interval

NONE = "–"


def markdown(results: Sequence[Decided], notes: Sequence[str]) -> str:
    """Notes, a table for each figure, and one of every kind of pair."""
    names = list(results[0].called)
    rates: Sequence[tuple[str, Callable[[Decided, str], Figure | None]]] = (
        ("Missed: copies that aren't called duplicates", Decided.missed),
        ("False: different pairs that are called duplicates", Decided.false),
    )
    scores: Sequence[tuple[str, Callable[[Decided, str], float | None]]] = (
        ("Average precision of the score", Decided.average_precision),
        ("Recall at precision 1.00, at the set's own best threshold", Decided.recall_without_error),
    )
    parts = ["\n".join(f"- {note}" for note in notes)]
    for title, figure_of in rates:
        found = {one.name: [figure_of(one, name) for name in names] for one in results}
        kept = {name: figures for name, figures in found.items() if figures[0] is not None}
        cells = [[name, _count(figures[0]), *map(_rate, figures)] for name, figures in kept.items()]
        parts.append(f"{title}:\n\n" + table(["", "n", *names], cells))
    for title, value_of in scores:
        cells = []
        for one in results:
            values = [value_of(one, name) for name in names]
            if values[0] is not None:
                counts = f"{one.same.sum():,} · {(~one.same).sum():,}"
                cells.append([one.name, counts, *(NONE if value is None else short(value) for value in values)])
        parts.append(f"{title}:\n\n" + table(["", "copies · different pairs", *names], cells))
    parts.append("By kind of pair, missed · false:\n\n" + _kinds(results, names))
    return "\n\n".join(parts)


def _kinds(results: Sequence[Decided], names: Sequence[str]) -> str:
    rows = []
    for one in results:
        for kind in one.kinds:
            missed, false = ([each(name, kind) for name in names] for each in (one.missed, one.false))
            cells = [f"{_percent(a)} · {_percent(b)}" for a, b in zip(missed, false, strict=True)]
            rows.append([one.name, kind, f"{_count(missed[0])} · {_count(false[0])}", *cells])
    return table(["set", "kind", "copies · different", *names], rows)


def _rate(figure: Figure | None) -> str:
    return NONE if figure is None else with_interval(figure)


def _percent(figure: Figure | None) -> str:
    return NONE if figure is None else f"{figure.value:.1%}"


def _count(figure: Figure | None) -> str:
    return NONE if figure is None else f"{figure.n:,}"


def as_json(results: Sequence[Decided], notes: Sequence[str]) -> dict[str, Any]:
    """Everything that is printed."""
    return {
        "notes": list(notes),
        "sets": [
            {
                "name": one.name,
                "copies": int(one.same.sum()),
                "different": int((~one.same).sum()),
                "deciders": {name: _figures(one, name) for name in one.called},
            }
            for one in results
        ],
    }


def _figures(one: Decided, name: str) -> dict[str, Any]:
    def plain(figure: Figure | None) -> dict[str, Any] | None:
        return None if figure is None else figure._asdict()

    return {
        "missed": plain(one.missed(name)),
        "false": plain(one.false(name)),
        "average_precision": one.average_precision(name),
        "recall_at_precision_1": one.recall_without_error(name),
        "kinds": {
            kind: {"missed": plain(one.missed(name, kind)), "false": plain(one.false(name, kind))} for kind in one.kinds
        },
    }


def metrics(results: Sequence[Decided], photos: str, split: str) -> list[Metric]:
    """The served decision's rates, for a manifest and its card: `training.export.model_folder --metrics`."""
    named = {f"{one.name}: missed": one.missed(SERVED) for one in results}
    named |= {f"{one.name}: different ones called duplicates": one.false(SERVED) for one in results}
    return [metric_of(name, figure, photos, split) for name, figure in named.items() if figure is not None]
