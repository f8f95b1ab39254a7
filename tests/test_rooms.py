"""The rooms of the house: what import contracts don't say. Which room may import which stands in pyproject.toml."""

from __future__ import annotations

from functools import cache

import grimp
import pytest

MOST_FLOORS = 5  # of modules in a room that import one another


@cache
def graph() -> grimp.ImportGraph:
    return grimp.build_graph("phototriage", "training", include_external_packages=False)


def rooms() -> list[str]:
    packages = [child for root in ("phototriage", "training") for child in graph().find_children(root)]
    return sorted(package for package in packages if graph().find_children(package))


def floors_of(room: str) -> int:
    """The longest chain of modules of the room, each of which imports the next. Raises where they go in a circle."""
    modules = graph().find_descendants(room)

    def height(module: str, above: tuple[str, ...]) -> int:
        if module in above:
            raise AssertionError(f"a circle of imports: {' → '.join((*above, module))}")
        below = graph().find_modules_directly_imported_by(module) & modules
        return 1 + max((height(each, (*above, module)) for each in below), default=0)

    return max(height(module, ()) for module in modules)


@pytest.mark.parametrize("room", rooms())
def test_a_room_has_few_floors_and_no_circle(room: str) -> None:
    assert floors_of(room) <= MOST_FLOORS


@pytest.mark.parametrize("room", rooms())
def test_a_room_says_what_lives_there(room: str) -> None:
    module = __import__(room, fromlist=["__doc__"])
    assert module.__doc__
    assert len(module.__doc__.split()) > 10


def test_the_documented_names_are_there() -> None:
    from phototriage.models import load_models
    from phototriage.settings import read_settings
    from phototriage.triage import triage

    assert all(callable(each) for each in (triage, load_models, read_settings))
