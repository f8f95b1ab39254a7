"""The shipped models as they are installed by the package phototriage-models: where they are, and whose photos they
were trained on. `deploy/build_wheels.py` makes that package."""

from __future__ import annotations

import json
from functools import cache
from importlib.util import find_spec
from pathlib import Path

PACKAGE = "phototriage_models"  # to import; to install it is phototriage-models
FOLDER = "models"  # below the package: a models directory may hold nothing but models


@cache
def directory() -> Path | None:
    """The models directory of the installed package; None if it isn't installed."""
    spec = find_spec(PACKAGE)
    if spec is None or not spec.submodule_search_locations:
        return None
    found = Path(next(iter(spec.submodule_search_locations))) / FOLDER
    return found if found.is_dir() else None


def licences(models: Path) -> dict[str, str]:
    """What the manifests of a models directory say of the licence of their training data, by the data's name."""
    found = {}
    for path in sorted(models.glob("*/manifest.json")):
        data = json.loads(path.read_text(encoding="utf-8"))["data"]
        found[str(data["name"])] = str(data["licence"])
    return found


def notice(models: Path) -> str:
    """A line for those who are served the shipped models; empty if `models` is another directory."""
    if models != directory():
        return ""
    told = "; ".join(f"{name}: {licence}" for name, licence in licences(models).items())
    return f"these are the shipped models, to try the product with. Licences of their training data: {told}"
