"""An index folder: its description, with the model that its embeddings are of, and the lock of its only writer."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path
from typing import IO, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from phototriage.common.atomic_writes import PART, sync
from phototriage.common.errors import IndexFolderError
from phototriage.duplicates import layout
from phototriage.duplicates.layout_rescoring import RESCORING_FIELD, LayoutRescoring
from phototriage.model_folder.manifest import Manifest

DESCRIPTION, LOCK = "index.json", "lock"
LENGTH_TOLERANCE = 1e-4  # of each part, whose length is 1; a model's are 1 within 1e-6


class IndexedModel(BaseModel):
    """The model of an index's embeddings, and the similarity from which on two of them are duplicates; in an index that
    verifies, the probability from which on two photos are, in place of that.

    same_embeddings_as: earlier versions of the model whose indexes it may open; not kept.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, serialize_by_alias=True)

    name: str
    version: str
    parts: tuple[int, ...] = Field(min_length=1)  # columns of each part, as the manifest's `embedding_parts`
    threshold: float
    layout_rescoring: LayoutRescoring | None = RESCORING_FIELD
    min_probability: float | None = Field(default=None, exclude_if=lambda value: value is None)
    same_embeddings_as: tuple[str, ...] = Field(default=(), exclude=True)

    @model_validator(mode="after")
    def _has_its_layout(self) -> Self:
        expected = () if self.layout_rescoring is None else (layout.DIMENSION,)
        if self.parts[0] < 1 or self.parts[1:] != expected:
            raise ValueError(f"parts are {self.parts}; behind the embedding they have to be {expected}")
        return self

    @classmethod
    def of(cls, manifest: Manifest, threshold: float | None = None) -> Self:
        """From an embedder's manifest; `threshold` replaces the tuned one. Raises IndexFolderError for another kind."""
        if manifest.decision is None:
            raise IndexFolderError(f"{manifest.name} is of kind {manifest.kind!r}; an index needs an embedder.")
        return cls(
            name=manifest.name,
            version=manifest.version,
            parts=manifest.embedding_parts,
            threshold=manifest.decision.threshold if threshold is None else threshold,
            layout_rescoring=manifest.layout_rescoring,
            min_probability=None if manifest.verification is None else manifest.verification.threshold,
            same_embeddings_as=manifest.same_embeddings_as,
        )

    def unverified(self) -> Self:
        """The same, of an index where similarities alone decide."""
        return self.model_copy(update={"min_probability": None})

    @property
    def verifies(self) -> bool:
        """Whether signatures are kept, and verification decides."""
        return self.min_probability is not None

    def is_duplicate(self, similarity: float, probability: float | None) -> bool:
        """Whether a pair is, by verification where the index has it; `probability`: None for a pair that wasn't worth
        verifying."""
        if self.min_probability is None:
            return similarity >= self.threshold
        return probability is not None and probability >= self.min_probability

    @property
    def dimension(self) -> int:
        return sum(self.parts)

    def check(self, vectors: NDArray[np.float32]) -> None:
        """Raise ValueError unless `vectors` can be embeddings (N, D) of this model."""
        if vectors.ndim != 2 or vectors.shape[1] != self.dimension:
            raise ValueError(
                f"embeddings of {self.name} are (N, {self.dimension}), these are {vectors.shape}; embed the images "
                "again"
            )
        for end, size in zip(np.cumsum(self.parts).tolist(), self.parts, strict=True):
            lengths = np.linalg.norm(vectors[:, end - size : end].astype(np.float64), axis=1)
            is_wrong = ~(np.abs(lengths - 1) <= LENGTH_TOLERANCE)
            if end != size:
                is_wrong &= lengths != 0  # the layout of a plain surface
            if is_wrong.any():
                row = int(np.flatnonzero(is_wrong)[0])
                raise ValueError(
                    f"row {row}'s columns {end - size} to {end - 1} have length {lengths[row]:.6g}; it has to be 1 "
                    f"within {LENGTH_TOLERANCE}. Give embeddings as the model made them"
                )


class Description(BaseModel):
    """`index.json`. Fewer than `exact` rows are searched exactly; from then on a graph holds all rows but the last
    `step` or fewer. Both are fixed when the folder is made, since answers depend on them."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    format: Literal[1] = 1
    model: IndexedModel
    exact: int = Field(ge=0)
    step: int = Field(ge=1)

    def graph_rows(self, rows: int) -> int:
        """How many of so many rows belong into the graph."""
        return 0 if rows < self.exact else rows // self.step * self.step


def model_of(folder: Path) -> IndexedModel:
    """The model of an existing index, so that it can be opened without its manifest. Raises IndexFolderError."""
    return _read(folder).model


def open_description(folder: Path, requested: Description, read_only: bool) -> Description:
    """The description that the folder has; a new folder gets `requested`. Raises IndexFolderError if the folder is of
    another model, or no index."""
    path = folder / DESCRIPTION
    if path.exists() or read_only or _is_in_use(folder):
        description = _read(folder)
        _check_same(folder, description.model, requested.model)
        return description
    temporary = path.with_name(path.name + PART)
    temporary.write_text(requested.model_dump_json(indent=2) + "\n", encoding="utf-8")
    sync(temporary)
    temporary.replace(path)
    sync(folder)
    return requested


def _read(folder: Path) -> Description:
    path = folder / DESCRIPTION
    try:
        return Description.model_validate_json(path.read_bytes())
    except (FileNotFoundError, NotADirectoryError):
        raise IndexFolderError(
            f"{folder} is no index: it has no {DESCRIPTION}. Name another folder, or to make one, one that isn't there "
            "yet."
        ) from None
    except (OSError, ValidationError) as error:
        raise IndexFolderError(f"{path} can't be read: {error}. Restore it, or start a new index.") from error


def _check_same(folder: Path, model: IndexedModel, requested: IndexedModel) -> None:
    is_same = model.version in (requested.version, *requested.same_embeddings_as)
    if model.name != requested.name or not is_same:
        raise IndexFolderError(
            f"The index {folder} is of model {model.name!r}, version {model.version!r}, and {requested.name!r}, "
            f"version {requested.version!r}, was asked for; embeddings of two versions can't be compared. Name a new "
            "folder, and score the images again to fill it."
        )
    # What decides in an index that was begun without verification, or with it, stays what it was.
    names = ["threshold", "layout_rescoring", "parts"]
    if model.verifies and requested.verifies:
        names.append("min_probability")
    for name in names:
        begun_with, asked_for = getattr(model, name), getattr(requested, name)
        if begun_with != asked_for:
            raise IndexFolderError(
                f"The index {folder} was begun with the {name.replace('_', ' ')} {begun_with}, and {asked_for} was "
                "asked for; its groups keep to the first. Ask for that, or name a new folder."
            )


def _is_in_use(folder: Path) -> bool:
    return any(path.name != LOCK and path.suffix != PART for path in folder.iterdir()) if folder.exists() else False


def lock(folder: Path) -> IO[str]:
    """Lock the folder, until the file is closed or the process ends. Raises IndexFolderError if another process holds
    the lock."""
    file = (folder / LOCK).open("a+", encoding="utf-8")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        file.seek(0)
        owner = file.read().strip() or "unknown"
        file.close()
        raise IndexFolderError(
            f"The index {folder} is being written to by process {owner}; one at a time can. Wait for it to end, or "
            "name another folder."
        ) from error
    file.truncate(0)
    file.write(f"{os.getpid()}\n")
    file.flush()
    return file
