"""The near-duplicate figures as Markdown and as JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from benchmarks.duplicate_scores import Column, Measured
from phototriage.model_folder.manifest import Metric
from training.loop.evaluation import metric_of
from training.statistics.intervals import Figure
from training.statistics.tables import signed, table, with_interval

Kinds = Mapping[tuple[bool, str], Figure]


@dataclass(frozen=True)
class Result:
    """All figures of one column. kinds: by part, such as "houses, hard", then by (same, kind)."""

    column: Column
    measured: Measured
    kinds: Mapping[str, Kinds]


@dataclass(frozen=True)
class Report:
    """Everything that is printed. differences: by column, the reference's figures less that column's."""

    results: Sequence[Result]
    reference: str
    differences: Mapping[str, Mapping[str, Figure]]
    notes: Sequence[str]

    def metrics(self, photos: str, split: str) -> list[Metric]:
        """The reference's figures, for its manifest and card: `training.export.model_folder --metrics`."""
        one = next(each for each in self.results if each.column.name == self.reference)
        named = dict(one.measured.figures)
        for part, kinds in one.kinds.items():
            for (same, kind), figure in kinds.items():
                named[f"{part}, {kind}: {'recognised' if same else 'different ones called duplicates'}"] = figure
        return [metric_of(name, figure, photos, split) for name, figure in named.items()]

    def as_json(self) -> dict[str, Any]:
        return {
            "columns": [
                {
                    **asdict(one.column),
                    "figures": {name: figure._asdict() for name, figure in one.measured.figures.items()},
                    "kinds": [
                        {"part": part, "same": same, "kind": kind, **figure._asdict()}
                        for part, kinds in one.kinds.items()
                        for (same, kind), figure in kinds.items()
                    ],
                }
                for one in self.results
            ],
            "reference": self.reference,
            "differences": {
                column: {name: figure._asdict() for name, figure in rows.items()}
                for column, rows in self.differences.items()
            },
            "notes": list(self.notes),
        }


def markdown(report: Report) -> str:
    """Notes, then three tables."""
    results = report.results
    header = [one.column.name for one in results]
    thresholds = [f"{one.column.threshold:.4f} ({one.column.tuned})" for one in results]
    rows = [["threshold", "", *thresholds]]
    for name in results[0].measured.figures:
        cells = [one.measured.figures[name] for one in results]
        rows.append([name, f"{cells[0].n:,}", *(with_interval(cell) for cell in cells)])
    parts = [
        "\n".join(f"- {note}" for note in report.notes),
        table(["", "n", *header], rows),
        *([_differences(report)] if report.differences else []),
        "Share of pairs called duplicates: recall where they are of one photo, false alarms where not.",
        table(["pairs", "of one photo", "kind", "n", *header], _kind_rows(results)),
    ]
    return "\n\n".join(parts)


def _differences(report: Report) -> str:
    columns = list(report.differences)
    rows = [
        [name, f"{figure.n:,}", *(signed(report.differences[column][name]) for column in columns)]
        for name, figure in report.differences[columns[0]].items()
    ]
    return f"{report.reference} minus each of the others, on the same photos:\n\n" + table(["", "n", *columns], rows)


def _kind_rows(results: Sequence[Result]) -> list[list[str]]:
    rows = []
    for part, kinds in results[0].kinds.items():
        for (same, kind), figure in kinds.items():
            cells = [with_interval(one.kinds[part][same, kind]) for one in results]
            rows.append([part, "yes" if same else "no", kind, f"{figure.n:,}", *cells])
    return rows
