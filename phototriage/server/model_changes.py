"""The models directory read again while its models are served: what is new is verified, replayed and warm before it
takes a place, and what fails leaves the old one in it."""

from __future__ import annotations

from typing import NamedTuple

from phototriage.common.errors import ModelFolderError
from phototriage.model_folder import manifest
from phototriage.models.classifier import Classifier
from phototriage.models.embedder import Embedder
from phototriage.models.loading import load_any
from phototriage.models.model_set import Loaded, Models, assemble, classifiers_last, default_embedder, folders_of
from phototriage.settings import Settings
from phototriage.triage.schemas import ModelName, Refused, ReloadResponse, TakenUp


class Changes(NamedTuple):
    """The models to serve from now on, and what to tell of them."""

    models: Models
    answer: ReloadResponse


def read_again(settings: Settings, old: Models) -> Changes:
    """Models whose version is the old one stay as they are, in memory. Where the models don't fit together, as without
    a default, or a classifier whose difficulty needs another autoencoder, all old ones stay."""
    before = {found.name: found for found in old.all}
    loaded: dict[str, Loaded] = {}
    taken, refused = [], []
    try:
        folders = folders_of(settings)
        for name in set(before) - {folder.name for folder in folders}:
            if (settings.models_directory / f"{name}.old.part").exists():
                loaded[name] = before[
                    name
                ]  # an export has put the old one aside, and is about to put the new one there
        for folder in classifiers_last(folders):
            had = before.get(folder.name)
            embedder = default_embedder(settings, loaded)
            try:
                if had is not None and manifest.read(folder).version == had.manifest.version:
                    loaded[folder.name] = had if _fits(had, embedder) else load_any(folder, settings, embedder)
                    continue
                loaded[folder.name] = load_any(folder, settings, embedder)
            except (ModelFolderError, OSError) as error:
                refused.append(Refused(name=folder.name, detail=_told(error)))
                if had is not None:
                    loaded[folder.name] = had
            else:
                version = loaded[folder.name].manifest.version
                replaced = None if had is None else had.manifest.version
                taken.append(TakenUp(name=folder.name, version=version, replaced=replaced))
        models = assemble(settings, loaded)
    except ModelFolderError as error:
        refused.append(Refused(name=None, detail=error.detail))
        return Changes(old, _answer(old, [], [], refused))
    taken.sort(key=lambda one: one.name)
    refused.sort(key=lambda one: one.name or "")
    removed = sorted(set(before) - set(loaded))
    return Changes(models, _answer(models, taken, removed, refused))


def _fits(model: Loaded, embedder: Embedder | None) -> bool:
    """Whether a model that stays shares its first stages with that embedder, if it can."""
    if not isinstance(model, Classifier):
        return True
    can = embedder is not None and embedder.cut_with(model.manifest, model.digests) is not None
    return model.embedder is (embedder if can else None)


def _told(error: ModelFolderError | OSError) -> str:
    return error.detail if isinstance(error, ModelFolderError) else f"The folder can't be read: {error.strerror}"


def _answer(models: Models, taken: list[TakenUp], removed: list[str], refused: list[Refused]) -> ReloadResponse:
    served = [ModelName(name=one.name, version=one.manifest.version) for one in models.all]
    return ReloadResponse(taken_up=taken, removed=removed, refused=refused, models=served)
