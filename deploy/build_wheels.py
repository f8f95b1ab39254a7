"""Build what is installed: `python -m deploy.build_wheels [--output dist]`. Offline, with the setuptools that is here.

phototriage         the server, the command and, for the extra `train`, the training
phototriage-models  the models of exported_models/ alone; what they were trained on is said by its description and by
                    LICENSES.md, from the manifests

Both are built from copies in a temporary folder, so that nothing of an earlier build is taken along.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path
from typing import Any

from phototriage.common.shipped_models import FOLDER, PACKAGE

ROOT = Path(__file__).parents[1]
MODELS = ROOT / "exported_models"
SOURCES = ("pyproject.toml", "README.md", "LICENSE", "phototriage", "training")
LICENCES = "LICENSES.md"

_PROJECT = """\
[build-system]
requires = ["setuptools>=77"]
build-backend = "setuptools.build_meta"

[project]
name = "phototriage-models"
version = "{version}"
description = "Models to try Phototriage with, trained on photos whose licence is unclear or asks for attribution"
readme = "README.md"
license = "LicenseRef-Phototriage-Models"
license-files = ["LICENSES.md"]
requires-python = ">=3.11"

[tool.setuptools]
packages = ["{package}"]

[tool.setuptools.package-data]
{package} = ["{folder}/*/*"]
"""
_README = """\
# Phototriage's models

The models that `phototriage` answers with where no others are named: in `{package}/{folder}`, a folder each, with a
manifest of hashes, figures and training data, and a card. This package has no code.

They are there to try the product with. What they were trained on:

{table}

Train your own for anything else: `pip install 'phototriage[train]'`, `python -m training.classifier --help`.
"""
_LICENCES = """\
# Licences of the models

The files that describe the models are under Apache-2.0, as Phototriage is, and so are the pretrained weights that the
classifier and the embedder start from (EfficientNet-Lite0). The weights themselves were trained on the photos below.
Whether the licence of photos binds what is learned from them differs by country; where it is unclear, or asks for
attribution, so it is for these weights. No photo is in this package.

{table}
"""


def is_model(folder: Path) -> bool:
    """Whether a model lies there whole: an export that is going on writes under another name."""
    return not folder.name.startswith(".") and folder.suffix != ".part"


def manifests(models: Path) -> list[dict[str, Any]]:
    """Of all model folders, by name."""
    paths = [path for path in sorted(models.glob("*/manifest.json")) if is_model(path.parent)]
    return [json.loads(path.read_text(encoding="utf-8")) for path in paths]


def licence_table(models: Path) -> str:
    """A row for each model: what it was trained on, how many images of that, and their licence, by its manifest."""
    rows = ["| model | version | trained on | images | licence of the training data |", "| --- " * 5 + "|"]
    for each in manifests(models):
        data = each["data"]
        cells = (each["name"], each["version"], data["name"], str(data["images"]["train"]), data["licence"])
        rows.append(f"| {' | '.join(cells)} |")
    return "\n".join(rows)


def lay_out_package(folder: Path) -> None:
    """What the wheel of the product is built from."""
    for name in SOURCES:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(ROOT / name, folder)


def lay_out_models(folder: Path, models: Path = MODELS) -> None:
    """What the wheel of the models is built from."""
    with (ROOT / "pyproject.toml").open("rb") as file:
        version = tomllib.load(file)["project"]["version"]
    table = licence_table(models)
    package = folder / PACKAGE
    for each in manifests(models):
        shutil.copytree(models / each["name"], package / FOLDER / each["name"])
    (package / "__init__.py").write_text('"""Models to try Phototriage with: see LICENSES.md of this package."""\n')
    (folder / "pyproject.toml").write_text(_PROJECT.format(version=version, package=PACKAGE, folder=FOLDER))
    (folder / "README.md").write_text(_README.format(package=PACKAGE, folder=FOLDER, table=table), encoding="utf-8")
    (folder / LICENCES).write_text(_LICENCES.format(table=table), encoding="utf-8")


def build(output: Path) -> list[Path]:
    """Both wheels, written to the folder. Raises CalledProcessError, when pip has said why."""
    built = []
    for lay_out in (lay_out_package, lay_out_models):
        with tempfile.TemporaryDirectory() as place:
            source, made = Path(place, "source"), Path(place, "made")
            source.mkdir()
            lay_out(source)
            pip = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "--no-index"]
            subprocess.run([*pip, "--wheel-dir", str(made), str(source)], check=True)  # noqa: S603
            (wheel,) = made.glob("*.whl")
            output.mkdir(parents=True, exist_ok=True)
            built.append(Path(shutil.copy(wheel, output)))
    return built


def main() -> int:
    parser = argparse.ArgumentParser(description="Build the wheels of Phototriage and of its models.")
    parser.add_argument("--output", type=Path, default=ROOT / "dist")
    for wheel in build(parser.parse_args().output):
        print(f"{wheel}: {wheel.stat().st_size / 1e6:.1f} MB")
    return 0


if __name__ == "__main__":
    sys.exit(main())
