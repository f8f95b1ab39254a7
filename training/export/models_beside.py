"""What an export means for the other models of its folder: which is the default, whose difficulty is out of date."""

from __future__ import annotations

from pathlib import Path

from phototriage.common.errors import ModelFolderError
from phototriage.model_folder import manifest
from phototriage.model_folder.manifest import Manifest
from phototriage.settings import PREFIX


def read_if_valid(folder: Path) -> Manifest | None:
    """A model folder's manifest; None if the folder isn't there or can't be trusted."""
    try:
        return manifest.read(folder)
    except ModelFolderError:
        return None


def told_of(before: Manifest | None, written: Manifest) -> str:
    """What an export says of the model that had its name."""
    if before is None:
        return ""
    return ", as it was" if before.version == written.version else f", in place of version {before.version}"


def is_default(name: str, kind: str, models: Path, wanted: bool) -> bool:
    """Whether the model is to answer where none is named: as asked, as before, or if it is the only one of
    its kind."""
    if wanted:
        return True
    others = False
    for found in _readable(models):
        if found.name == name:
            return found.default
        others |= found.kind == kind
    return not others


def given_up(models: Path, written: Manifest) -> list[str]:
    """Have the model that was written be the only default of its kind, since a server refuses to start with two. What
    is changed is said in lines: the other's version is another then, although it answers as before."""
    lines = []
    for other in _other_defaults(models, written):
        same = (*other.same_embeddings_as, other.version) if other.kind == "embedder" else ()
        changes = {"default": False, "same_embeddings_as": tuple(dict.fromkeys(same))}
        changed = manifest.write(other.model_copy(update=changes), models / other.name)
        lines.append(
            f"{models / other.name}: version {changed.version}, in place of version {other.version}, no longer the "
            "default"
        )
    return lines


def default_notes(models: Path, written: Manifest) -> list[str]:
    """A line that says which other model goes on answering where none is named, if one does."""
    if written.default or written.kind == "autoencoder":
        return []
    variable = f"{PREFIX}DEFAULT_{written.kind.upper()}"
    return [
        f"note: where no {written.kind} is named, {other.name} goes on answering. To have {written.name} answer, "
        f"export it with --default or set {variable}={written.name}; to ask it alone: ?model={written.name}, or "
        f"--model {written.name}"
        for other in _other_defaults(models, written)
    ]


def unscored(models: Path, before: Manifest | None, written: Manifest) -> list[str]:
    """Classifiers whose difficulty has to be fitted again: the one that had a score `before` and was written anew, or
    those that score with another version of the autoencoder that was written."""
    if written.kind == "classifier":
        return [written.name] if before is not None and before.difficulty is not None else []
    scored = [(found.name, found.difficulty) for found in _readable(models) if found.difficulty is not None]
    return [
        name
        for name, rule in scored
        if rule.autoencoder == written.name and rule.autoencoder_version != written.version
    ]


def _other_defaults(models: Path, written: Manifest) -> list[Manifest]:
    """The other models of the kind that say that they are its default."""
    return [
        found
        for found in _readable(models)
        if found.kind == written.kind and found.default and found.name != written.name
    ]


def _readable(models: Path) -> list[Manifest]:
    """Those of all model folders that can be read."""
    found = [read_if_valid(path.parent) for path in sorted(models.glob(f"*/{manifest.FILE_NAME}"))]
    return [each for each in found if each is not None]
