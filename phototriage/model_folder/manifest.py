"""manifest.json: what a model folder holds, how it is fed, what it answers, and where it comes from."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError, model_validator

from phototriage.common.errors import ModelFolderError
from phototriage.difficulty import config as difficulty_rule
from phototriage.difficulty.config import DifficultyConfig
from phototriage.duplicates import layout
from phototriage.duplicates.layout_rescoring import RESCORING_FIELD, LayoutRescoring
from phototriage.images.input_config import InputConfig
from phototriage.saliency.featout_config import FeatOutConfig
from phototriage.verification import config as verification_config
from phototriage.verification.config import VerificationConfig

FILE_NAME = "manifest.json"
MODEL_FILE = "model.onnx"
IMAGES, OUTPUT_WEIGHTS = "images", "output_weights"  # the graph's inputs

Name = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9_.-]{0,63}$")]
FileName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$")]
Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
BaseName = Annotated[str, StringConstraints(pattern=r"^[^/\\]+$")]
Role = Literal["logits", "gradient", "embedding", "latent", "reconstruction_error"]
MainRole = Literal["logits", "embedding"]
Share = Annotated[float, Field(ge=0, le=1)]

MAIN_ROLES: Mapping[str, MainRole] = {"classifier": "logits", "embedder": "embedding"}  # by kind
PRIOR_ROUNDING = 1e-3  # a prior may be given to three digits


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, serialize_by_alias=True)


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


class Measured(_Part):
    """A share that was measured. `interval` is the 95 % interval, (low, high)."""

    value: Share
    interval: tuple[Share, Share]

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        low, high = self.interval
        if low > high:
            raise ValueError(f"the interval's low end {low} is above its high end {high}")
        return self


class Tuning(_Part):
    """How a threshold was chosen: labelled pairs, never a path to them, and what came out on held-out folds."""

    data: BaseName
    sha256: Sha256
    pairs: int = Field(ge=2)
    duplicates: int = Field(ge=1)  # among the pairs
    folds: int = Field(ge=2)
    aim: str = Field(min_length=1)  # what was maximised or held, such as "f1" or "precision=0.99"
    precision: Measured
    recall: Measured
    f1: Measured


class Decision(_Part):
    """When two embeddings are of duplicates.

    From the similarity `threshold` on they are. The similarity is their cosine, or what layout re-scoring makes
    of it. The probability is 1 / (1 + exp(−(slope · similarity + intercept))), where a share `prior` of all
    pairs are duplicates, as among those that it was tuned on.
    """

    threshold: float = Field(ge=-1, le=1)
    slope: float = Field(gt=0, allow_inf_nan=False)
    intercept: float = Field(allow_inf_nan=False)
    prior: float = Field(gt=0, lt=1)
    layout_rescoring: LayoutRescoring | None = RESCORING_FIELD
    tuning: Tuning

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        share = self.tuning.duplicates / self.tuning.pairs
        if abs(self.prior - share) > PRIOR_ROUNDING:
            raise ValueError(f"the prior is {self.prior}, but {share:.4f} of the pairs tuned on are duplicates")
        return self


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
    input: InputConfig
    outputs: tuple[Output, ...]
    labels: tuple[str, ...] = ()
    featout: FeatOutConfig | None = None  # None: trained without FeatOut
    decision: Decision | None = None  # an embedder's, and no other kind's
    difficulty: DifficultyConfig | None = None  # a classifier's, once it is fitted
    verification: VerificationConfig | None = None  # an embedder's, once it is fitted
    same_embeddings_as: tuple[str, ...] = ()  # versions of this embedder that embed every image to the same values
    metrics: tuple[Metric, ...] = ()
    data: Data
    training: Training

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.kind == "classifier" and len(self.labels) < 2:
            raise ValueError(f"a classifier needs at least two labels, this has {len(self.labels)}")
        if len(set(self.labels)) != len(self.labels):
            raise ValueError("labels repeat")
        if self.kind != "embedder" and self.decision is not None:
            raise ValueError(f"a decision about duplicates is an embedder's, this is of kind {self.kind!r}")
        if self.kind != "embedder" and (self.verification is not None or self.same_embeddings_as):
            raise ValueError(f"verification of duplicates is an embedder's, this is of kind {self.kind!r}")
        if self.verification is not None and verification_config.FILE_NAME not in self.files:
            raise ValueError(f"verification needs the file {verification_config.FILE_NAME}")
        if self.difficulty is not None:
            self._check_difficulty()
        if self.kind == "embedder":
            self._check_embedder()
        elif self.kind == "autoencoder":
            self._check_autoencoder()
        roles = [output.role for output in self.outputs]
        if len(set(roles)) != len(roles):
            raise ValueError("two outputs have the same role")
        return self

    def _check_difficulty(self) -> None:
        if self.kind != "classifier":
            raise ValueError(f"difficulty is a classifier's, this is of kind {self.kind!r}")
        if difficulty_rule.FILE_NAME not in self.files:
            raise ValueError(f"difficulty needs the file {difficulty_rule.FILE_NAME}")

    def _check_embedder(self) -> None:
        if self.decision is None:
            raise ValueError("an embedder needs a decision: tune its threshold")
        if self.labels:
            raise ValueError(f"an embedder has no labels, this has {len(self.labels)}")
        shapes = {output.role: output.shape for output in self.outputs}
        config = self.input
        embedding, gradient = shapes.get("embedding", ()), ("N", config.height, config.width, config.channels)
        if len(embedding) != 2 or not isinstance(embedding[1], int) or embedding[1] < 1:
            raise ValueError(f"an embedder needs an output embedding of shape (N, dimension), this has {embedding}")
        if shapes.get("gradient") != gradient:
            raise ValueError(f"an embedder needs an output gradient of shape {gradient}")
        if self.layout_rescoring is not None and not layout.fits(config.height, config.width):
            raise ValueError(
                f"layout re-scoring needs an input whose sides are multiples or divisors of {layout.CELLS}"
            )

    def _check_autoencoder(self) -> None:
        if self.labels:
            raise ValueError(f"an autoencoder has no labels, this has {len(self.labels)}")
        shapes = {output.role: output.shape for output in self.outputs}
        latent, error = shapes.get("latent", ()), shapes.get("reconstruction_error")
        if len(latent) != 2 or not isinstance(latent[1], int) or latent[1] < 1:
            raise ValueError(f"an autoencoder needs an output latent of shape (N, dimension), this has {latent}")
        if error != ("N", 2):
            raise ValueError(f"an autoencoder needs an output reconstruction_error of shape (N, 2), this has {error}")

    @property
    def main_role(self) -> MainRole:
        """What the forward pass answers. Raises ModelFolderError for a kind that answers no question by itself."""
        if self.kind not in MAIN_ROLES:
            raise ModelFolderError(
                f"{self.name} is of kind {self.kind!r}; only {'s and '.join(MAIN_ROLES)}s answer by themselves"
            )
        return MAIN_ROLES[self.kind]

    @property
    def width(self) -> int:
        """Columns of the main output: labels of a classifier, dimensions of an embedding."""
        return len(self.labels) if self.kind == "classifier" else int(self.output("embedding").shape[1])

    @property
    def layout_rescoring(self) -> LayoutRescoring | None:
        return None if self.decision is None else self.decision.layout_rescoring

    @property
    def embedding_parts(self) -> tuple[int, ...]:
        """Numbers of an embedding as it is given out and compared: the network's, and the layout's if there is
        re-scoring. Each part has length 1."""
        return (self.width,) if self.layout_rescoring is None else (self.width, layout.DIMENSION)

    def output(self, role: Role) -> Output:
        """The output of that role; ModelFolderError if the model has none."""
        for output in self.outputs:
            if output.role == role:
                return output
        raise ModelFolderError(f"model {self.name!r} has no output of role {role!r}")

    def compute_version(self) -> str:
        """The first 16 hex digits of the SHA-256 of the canonical JSON without `version`."""
        # What is not there is left out, so that manifests older than a field keep their version.
        parts = ("decision", "difficulty", "verification", "same_embeddings_as")
        absent = {"version", *(name for name in parts if getattr(self, name) in (None, ()))}
        fields = self.model_dump(mode="json", exclude=absent)
        if self.verification is not None and self.verification.command is None:
            del fields["verification"]["command"]
        if self.difficulty is not None and self.difficulty.answers is None:
            del fields["difficulty"]["answers"]
        if self.decision is not None and self.layout_rescoring is None:
            del fields["decision"]["second_look"]
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
            raise ModelFolderError(
                f"{folder.name}/{name} has SHA-256 {actual}, the manifest says {expected}: export the model again"
            )
    return manifest
