"""Reloading the models directory while its models are served. A new model is verified, replayed and warm before it
replaces the old one, and the old one stays if the new one fails."""

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
    """The models to serve from now on, and the response that lists them."""

    models: Models
    response: ReloadResponse


def read_again(settings: Settings, old: Models) -> Changes:
    """Read the models directory again. Models whose version hasn't changed stay in memory as they are. If the models
    don't fit together, as without a default classifier or with a classifier whose difficulty score needs another
    autoencoder, all old ones stay."""
    before = {model.name: model for model in old.all}
    loaded: dict[str, Loaded] = {}
    taken_up, refused = [], []
    try:
        folders = folders_of(settings)
        for name in set(before) - {folder.name for folder in folders}:
            if (settings.models_directory / f"{name}.old.part").exists():
                # An export has moved the old one aside, and is about to move the new one there.
                loaded[name] = before[name]
        for folder in classifiers_last(folders):
            current = before.get(folder.name)
            embedder = default_embedder(settings, loaded)
            try:
                if current is not None and manifest.read(folder).version == current.manifest.version:
                    loaded[folder.name] = current if _fits(current, embedder) else load_any(folder, settings, embedder)
                    continue
                loaded[folder.name] = load_any(folder, settings, embedder)
            except (ModelFolderError, OSError) as error:
                refused.append(Refused(name=folder.name, detail=_describe_error(error)))
                if current is not None:
                    loaded[folder.name] = current
            else:
                version = loaded[folder.name].manifest.version
                replaced = None if current is None else current.manifest.version
                taken_up.append(TakenUp(name=folder.name, version=version, replaced=replaced))
        models = assemble(settings, loaded)
    except ModelFolderError as error:
        refused.append(Refused(name=None, detail=error.detail))
        return Changes(old, _response(old, [], [], refused))
    taken_up.sort(key=lambda item: item.name)
    refused.sort(key=lambda item: item.name or "")
    removed = sorted(set(before) - set(loaded))
    return Changes(models, _response(models, taken_up, removed, refused))


def _fits(model: Loaded, embedder: Embedder | None) -> bool:
    """Whether a model that stays shares its first stages with that embedder, if it can, and else with none."""
    if not isinstance(model, Classifier):
        return True
    can_share = embedder is not None and embedder.cut_with(model.manifest, model.digests) is not None
    return model.embedder is (embedder if can_share else None)


def _describe_error(error: ModelFolderError | OSError) -> str:
    return error.detail if isinstance(error, ModelFolderError) else f"The folder can't be read: {error.strerror}"


def _response(models: Models, taken_up: list[TakenUp], removed: list[str], refused: list[Refused]) -> ReloadResponse:
    served = [ModelName(name=model.name, version=model.manifest.version) for model in models.all]
    return ReloadResponse(taken_up=taken_up, removed=removed, refused=refused, models=served)
