"""manifest.json: what a model folder holds, how it is fed, what it answers, and where it comes from."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError, model_validator

from phototriage.errors import ModelFolderError
from phototriage.featout_rule import FeatOutRule
from phototriage.input_rule import InputRule

FILE_NAME = "manifest.json"

Name = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9_.-]{0,63}$")]
FileName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$")]
Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
Role = Literal["logits", "gradient", "embedding", "latent", "reconstruction_error"]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Output(_Part):
    """An output of the ONNX graph: what it means, what it is called, its shape (a string is a free dimension)."""

    role: Role
    name: str
    shape: tuple[int | str, ...]


class Metric(_Part):
    """A measured figure. `interval` is the 95 % interval."""

    name: str
    set: str
    split: str
    n: int = Field(ge=1)
    value: float
    interval: tuple[float, float] | None = None


class Data(_Part):
    """What the model was trained on: a base name and a content hash, never a path."""

    name: str
    sha256: Sha256
    licence: str
    images: dict[str, int]  # per split


class Training(_Part):
    """How to make it again: the settings of the command, the seed, the versions."""

    command: str
    settings: dict[str, Any]
    random_seed: int
    packages: dict[str, str]
    hardware: str


class Manifest(_Part):
    """One model folder. `version` is the hash of everything else here, so a changed file is a new version."""

    format: Literal[1] = 1
    name: Name
    version: str = ""
    kind: Literal["classifier", "embedder", "autoencoder"]
    default: bool
    description: str
    files: dict[FileName, Sha256]
    input: InputRule
    outputs: tuple[Output, ...]
    labels: tuple[str, ...] = ()
    featout: FeatOutRule | None = None  # None: trained without FeatOut
    metrics: tuple[Metric, ...] = ()
    data: Data
    training: Training

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.kind == "classifier" and len(self.labels) < 2:
            raise ValueError(f"a classifier needs at least two labels, this has {len(self.labels)}")
        if len(set(self.labels)) != len(self.labels):
            raise ValueError("labels repeat")
        roles = [output.role for output in self.outputs]
        if len(set(roles)) != len(roles):
            raise ValueError("two outputs have the same role")
        return self

    def output(self, role: Role) -> Output:
        """The output of that role; ModelFolderError if the model has none."""
        for output in self.outputs:
            if output.role == role:
                return output
        raise ModelFolderError(f"model {self.name!r} has no output of role {role!r}")

    def compute_version(self) -> str:
        """The first 16 hex digits of the SHA-256 of the canonical JSON without `version`."""
        fields = self.model_dump(mode="json", exclude={"version"})
        canonical = json.dumps(fields, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
        return hashlib.sha256(canonical.encode()).hexdigest()[:16]

    def sealed(self) -> Self:
        """The same manifest with its version filled in."""
        return self.model_copy(update={"version": self.compute_version()})


def sha256_of(path: Path) -> str:
    """Hex SHA-256 of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write(manifest: Manifest, folder: Path) -> Manifest:
    """Seal and write `folder/manifest.json`, by a temporary name and a rename. Returns what was written."""
    sealed = manifest.sealed()
    part = folder / (FILE_NAME + ".part")
    part.write_text(sealed.model_dump_json(indent=2) + "\n", encoding="utf-8")
    part.replace(folder / FILE_NAME)
    return sealed


def read(folder: Path) -> Manifest:
    """Read and check `folder/manifest.json` and the hash of every file that it names.

    Raises ModelFolderError, which names the file and the difference.
    """
    path = folder / FILE_NAME
    try:
        manifest = Manifest.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        raise ModelFolderError(f"{folder.name}/{FILE_NAME} is missing: export the model again") from None
    except ValidationError as error:
        raise ModelFolderError(f"{folder.name}/{FILE_NAME} doesn't fit the format: {error}") from error
    if manifest.name != folder.name:
        raise ModelFolderError(f"folder {folder.name!r} holds a manifest of {manifest.name!r}: rename the folder")
    if manifest.version != manifest.compute_version():
        raise ModelFolderError(
            f"{folder.name}/{FILE_NAME} was changed by hand: it says version {manifest.version}, "
            f"its content is {manifest.compute_version()}"
        )
    for name, expected in manifest.files.items():
        file = folder / name
        if not file.is_file():
            raise ModelFolderError(f"{folder.name}/{name} is missing: export the model again")
        actual = sha256_of(file)
        if actual != expected:
            raise ModelFolderError(f"{folder.name}/{name} has SHA-256 {actual}, the manifest says {expected}")
    return manifest
