"""The Grafana dashboard asks only for metrics and labels that the server has."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

from prometheus_client import REGISTRY

from phototriage.collections.catalogue import Catalogue
from phototriage.common import metrics as registered
from phototriage.server.collection_figures import CollectionFigures

DASHBOARD = json.loads((Path(__file__).parents[2] / "deploy/grafana/phototriage.json").read_text(encoding="utf-8"))
SUFFIXES = {"counter": ["_total"], "gauge": [""], "histogram": ["_bucket", "_sum", "_count"]}
OF_THE_SCRAPE = {"job", "le"}


def metrics() -> dict[str, set[str]]:
    """Labels by series."""
    found = {}
    assert registered.CONTENT_TYPE  # imported, so that all are there
    figures = CollectionFigures(cast(Catalogue, None), Path(), 1)
    for collector in [*REGISTRY._collector_to_names, figures]:
        for family in collector.describe() if hasattr(collector, "describe") else []:
            labels = set(getattr(collector, "_labelnames", getattr(family, "_labelnames", ())))
            for suffix in SUFFIXES.get(family.type, []):
                found[family.name + suffix] = labels
    return found


def queries() -> Iterator[str]:
    def within(node: Any) -> Iterator[str]:
        if isinstance(node, dict):
            for key, value in node.items():
                if key in ("expr", "query") and isinstance(value, str) and "phototriage_" in value:
                    yield value
                else:
                    yield from within(value)
        elif isinstance(node, list):
            for each in node:
                yield from within(each)

    return within(DASHBOARD)


def test_every_series_and_label_is_there() -> None:
    known = metrics()
    asked = list(queries())
    assert len(asked) > 20
    for query in asked:
        series = re.findall(r"(phototriage_\w+)(?:\{([^}]*)\})?", query)
        assert series, query
        labels = {label for _, matchers in series for label in re.findall(r"(\w+)=", matchers)}
        for group in re.findall(r"by \(([^)]*)\)", query):
            labels |= {label.strip() for label in group.split(",")}
        for name, _ in series:
            assert name in known, name
        assert labels - OF_THE_SCRAPE <= set().union(*(known[name] for name, _ in series)), query


def test_every_metric_of_ours_is_shown() -> None:
    shown = " ".join(queries())
    families = {
        re.sub(r"_(total|bucket|sum|count)$", "", name) for name in metrics() if name.startswith("phototriage_")
    }
    assert {family for family in families if family not in shown} == set()


def test_panels_do_not_overlap() -> None:
    places: set[tuple[int, int]] = set()
    for panel in DASHBOARD["panels"]:
        at = panel["gridPos"]
        cells = {(at["x"] + x, at["y"] + y) for x in range(at["w"]) for y in range(at["h"])}
        assert not cells & places, panel["title"]
        assert at["x"] + at["w"] <= 24
        places |= cells
    assert len({panel["id"] for panel in DASHBOARD["panels"]}) == len(DASHBOARD["panels"])
