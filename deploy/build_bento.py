"""Build the bento of an image: `python -m deploy.build_bento --variant cpu`. Offline, without a container engine.

bentofile.yaml says what is taken along, pyproject.toml which packages: the serving dependencies and the extras `heic`,
whose wheel brings libheif and libde265 (LGPL-3.0), and `postgres` (psycopg, LGPL-3.0). A variant differs
in packages alone:

cpu    `onnxruntime` in place of `onnxruntime-gpu`, which is four times its size
gpu    the extra `gpu`: ONNX Runtime, CUDA and cuDNN of one release
batch  cpu, with the extra `score`, for `python -m phototriage.cli score`

The image begins with Python's own slim one. BentoML would have a compiler and git installed, 300 MB, but everything
here comes as wheels.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import tempfile
import tomllib
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal, get_args

import yaml
from packaging.requirements import Requirement

Variant = Literal["cpu", "gpu", "batch"]

ROOT = Path(__file__).parents[1]
STORE = ROOT / "build" / "bentoml"
RUNTIMES = ("onnxruntime", "onnxruntime-gpu")  # the same module: exactly one of them
# BentoML makes these when it starts. With them in the image, its root can be read-only, all but /tmp.
HOME_FOLDERS = ("bentos", "envs", "models", "tmp")
EXTRAS: dict[Variant, tuple[str, ...]] = {
    "cpu": ("heic", "postgres"),
    "gpu": ("heic", "postgres", "gpu"),
    "batch": ("heic", "postgres", "score"),
}
MEGABYTE = 1e6


class BuildError(Exception):
    """What is missing, and what to do about it."""


def packages(variant: Variant, project: dict[str, Any]) -> list[str]:
    """Requirements of a variant, from the `project` table of pyproject.toml. Raises BuildError."""
    chosen = [each for each in project["dependencies"] if Requirement(each).name not in RUNTIMES]
    if variant != "gpu":
        plain = next(need for need in map(Requirement, project["dependencies"]) if need.name == "onnxruntime")
        chosen.append(f"{plain.name}{plain.specifier}")
    for extra in EXTRAS[variant]:
        if extra not in project["optional-dependencies"]:
            raise BuildError(f"pyproject.toml has no extra {extra!r}, which {variant} takes its packages from")
        chosen += project["optional-dependencies"][extra]
    return sorted(chosen)


def bentofile(variant: Variant) -> dict[str, Any]:
    """bentofile.yaml as it is for a variant. Raises BuildError."""
    with (ROOT / "pyproject.toml").open("rb") as file:
        project = tomllib.load(file)["project"]
    build: dict[str, Any] = yaml.safe_load((ROOT / "bentofile.yaml").read_text(encoding="utf-8"))
    build["python"]["packages"] = packages(variant, project)
    build["labels"] = {"variant": variant, "version": project["version"]}
    # With a distro named, BentoML adds its commands to the image that is set below.
    del build["docker"]["distro"]
    if variant == "gpu":
        # Else the server falls back to the CPU where the driver can't be reached, and only the bill tells.
        build["envs"].append({"name": "PHOTOTRIAGE_PROVIDER", "value": "cuda"})
    return build


def build(variant: Variant, store: Path) -> Path:
    """Put `phototriage:VARIANT` into BentoML's store in place of the one that is there. Its folder.

    Raises BuildError.
    """
    if find_spec("uv") is None and shutil.which("uv") is None:
        raise BuildError("uv is missing, which BentoML would download by itself: pip install '.[image]'")
    description = bentofile(variant)
    # Read when BentoML is imported.
    os.environ.update({"BENTOML_HOME": str(store), "BENTOML_DO_NOT_TRACK": "True"})
    import bentoml

    import service

    python = description["docker"]["python_version"]
    image = bentoml.images.Image(base_image=f"python:{python}-slim", distro="")
    service.Phototriage.image = image.run("mkdir -p " + " ".join(f"$BENTOML_HOME/{each}" for each in HOME_FOLDERS))
    if (tag := f"phototriage:{variant}") in [str(each.tag) for each in bentoml.list()]:
        bentoml.delete(tag)
    with tempfile.NamedTemporaryFile("w", suffix=".yaml", encoding="utf-8") as derived:
        yaml.safe_dump(description, derived)
        derived.flush()
        return Path(bentoml.bentos.build_bentofile(derived.name, version=variant, build_ctx=str(ROOT)).path)


def size(folder: Path) -> int:
    """Bytes of all files below."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def main() -> int:
    parser = argparse.ArgumentParser(description="Build the bento of an image.")
    parser.add_argument("--variant", choices=get_args(Variant), default="cpu")
    parser.add_argument("--store", type=Path, default=STORE, help="BentoML's home, of which bentos/ is filled")
    parser.add_argument("--show", action="store_true", help="print the variant's bentofile, and build nothing")
    options = parser.parse_args()
    try:
        if options.show:
            print(yaml.safe_dump(bentofile(options.variant), sort_keys=False), end="")
            return 0
        folder = build(options.variant, options.store.resolve())
    except BuildError as error:
        print(f"build_bento: {error}", file=sys.stderr)
        return 1
    whole, models = size(folder), size(folder / "src" / "exported_models")
    print(f"{folder}: {whole / MEGABYTE:.1f} MB, {(whole - models) / MEGABYTE:.2f} MB without the models")
    return 0


if __name__ == "__main__":
    sys.exit(main())
