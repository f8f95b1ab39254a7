"""All that is served: every model folder of the models directory, and which answers where none is named."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, NamedTuple

from phototriage.common.errors import ModelFolderError, UnknownModel
from phototriage.difficulty import predictor
from phototriage.difficulty.predictor import Difficulty
from phototriage.models import manifest
from phototriage.models.autoencoder import Autoencoder
from phototriage.models.manifest import Manifest
from phototriage.models.runtime import OnnxModel, load_any
from phototriage.settings import Settings

Kind = Literal["classifier", "embedder"]
Loaded = OnnxModel | Autoencoder


class DifficultyModels(NamedTuple):
    """What tells how hard an image is for a classifier."""

    classifier: OnnxModel
    autoencoder: Autoencoder
    difficulty: Difficulty


@dataclass(frozen=True)
class Models:
    """What is served: models by name, which of each kind answers where none is named, the autoencoders, which answer
    nothing by themselves, and the difficulty scores of classifiers that have one."""

    by_name: Mapping[str, OnnxModel]
    defaults: Mapping[Kind, str]
    autoencoders: Mapping[str, Autoencoder] = field(default_factory=dict)
    difficulties: Mapping[str, Difficulty] = field(default_factory=dict)

    @property
    def all(self) -> list[Loaded]:
        """By name."""
        return sorted([*self.by_name.values(), *self.autoencoders.values()], key=lambda one: one.name)

    @property
    def manifests(self) -> list[Manifest]:
        """Of all, by name."""
        return [one.manifest for one in self.all]

    def get(self, name: str | None, kind: Kind = "classifier") -> OnnxModel:
        """The model of that name, or the default of the kind. Raises UnknownModel, which lists what there is."""
        names = [each for each, model in self.by_name.items() if model.manifest.kind == kind]
        if not names:
            raise UnknownModel(f"No {kind} is served here. Export one into the models directory and start again.")
        if name is None:
            return self.by_name[self.defaults[kind]]
        if name not in names:
            raise UnknownModel(f"No {kind} is called {name[:64]!r}; there is {', '.join(names)}.")
        return self.by_name[name]

    def for_difficulty(self, name: str | None) -> DifficultyModels:
        """The classifier of that name or the default one, and what tells what is hard for it. Raises UnknownModel."""
        classifier = self.get(name)
        found = self.difficulties.get(classifier.name)
        if found is None:
            scored = f"; there is {', '.join(self.difficulties)}" if self.difficulties else ""
            raise UnknownModel(
                f"The classifier {classifier.name!r} has no difficulty score{scored}. Fit one: "
                "python -m training.difficulty"
            )
        return DifficultyModels(classifier, self.autoencoders[found.rule.autoencoder], found)


def load_difficulty(classifier: Manifest, folder: Path, autoencoders: Mapping[str, Autoencoder]) -> Difficulty | None:
    """The score of a classifier's folder, if it has one. Raises ModelFolderError where its autoencoder isn't the one
    that it was fitted with."""
    rule = classifier.difficulty
    if rule is None:
        return None
    remedy = "Export that one again, or fit the score again: python -m training.difficulty"
    if rule.autoencoder not in autoencoders:
        raise ModelFolderError(
            f"{classifier.name} scores difficulty with {rule.autoencoder}, which isn't here. {remedy}"
        )
    found = autoencoders[rule.autoencoder].manifest
    if found.version != rule.autoencoder_version:
        raise ModelFolderError(
            f"{classifier.name} scores difficulty with {rule.autoencoder} of version {rule.autoencoder_version}; "
            f"here is {found.version}. {remedy}"
        )
    return predictor.read(rule, folder, len(classifier.labels), int(found.output("latent").shape[1]))


def load_models(settings: Settings) -> Models:
    """Load every model folder of the models directory. Raises ModelFolderError, ProviderUnavailable."""
    return assemble(settings, _load_each(settings, folders_of(settings)))


def load_needed(settings: Settings, kinds: Collection[Kind], classifier: str | None, embedder: str | None) -> Models:
    """Of the model folders only those of these kinds that answer: the classifier and the embedder of that name, or the
    default ones. Errors as of `load_models`; a name that isn't there is left for `Models.get` to tell."""
    found = {folder: manifest.read(folder) for folder in folders_of(settings)}
    wanted: dict[Kind, tuple[bool, str | None, str | None]] = {
        "classifier": ("classifier" in kinds, classifier, settings.default_classifier),
        "embedder": ("embedder" in kinds, embedder, settings.default_embedder),
    }
    defaults = {}
    for kind, (is_asked, named, setting) in wanted.items():
        chosen = choose_default(list(found.values()), setting, kind)
        there = any((each.name, each.kind) == (named, kind) for each in found.values())
        defaults[f"default_{kind}"] = (named if there else chosen) if is_asked else None
    names = set(defaults.values())
    names |= {each.difficulty.autoencoder for each in found.values() if each.name in names and each.difficulty}
    chosen_settings = settings.model_copy(update=defaults)
    return assemble(chosen_settings, _load_each(chosen_settings, [one for one in found if found[one].name in names]))


def _load_each(settings: Settings, folders: Sequence[Path]) -> dict[str, Loaded]:
    loaded: dict[str, Loaded] = {}
    for folder in classifiers_last(folders):
        loaded[folder.name] = load_any(folder, settings, default_embedder(settings, loaded))
    return loaded


def classifiers_last(folders: Sequence[Path]) -> list[Path]:
    """In the order in which they are to be loaded: a classifier may share stages with the embedder."""

    def is_classifier(folder: Path) -> bool:
        try:
            return manifest.read(folder).kind == "classifier"
        except (ModelFolderError, OSError):
            return False  # to be told when it is loaded

    return sorted(folders, key=is_classifier)


def default_embedder(settings: Settings, loaded: Mapping[str, Loaded]) -> OnnxModel | None:
    """The default one of those that are loaded, if it is clear which that is."""
    embedders = {
        one.name: one for one in loaded.values() if isinstance(one, OnnxModel) and one.manifest.kind == "embedder"
    }
    try:
        name = choose_default([one.manifest for one in embedders.values()], settings.default_embedder, "embedder")
    except ModelFolderError:  # told when all are put together
        return None
    return None if name is None else embedders[name]


def folders_of(settings: Settings) -> list[Path]:
    """The model folders of the models directory, by name. Raises ModelFolderError if there are none."""
    directory = settings.models_directory
    try:
        # Exports write under a name that ends in .part, and rename when all is there.
        folders = sorted(
            path
            for path in directory.iterdir()
            if path.is_dir() and not path.name.startswith(".") and path.suffix != ".part"
        )
    except OSError as error:
        raise ModelFolderError(
            f"The models directory {str(directory)!r} can't be read: {error.strerror}. Name it by "
            "PHOTOTRIAGE_MODELS_DIRECTORY"
        ) from error
    if not folders:
        raise ModelFolderError(f"The models directory {str(directory)!r} holds no model: train and export one")
    return folders


def assemble(settings: Settings, loaded: Mapping[str, Loaded]) -> Models:
    """Loaded models, by the names of their folders, as one set. Raises ModelFolderError where they don't fit
    together."""
    models = {name: one for name, one in loaded.items() if isinstance(one, OnnxModel)}
    autoencoders = {name: one for name, one in loaded.items() if isinstance(one, Autoencoder)}
    difficulties = {
        name: scored
        for name, model in models.items()
        if (scored := load_difficulty(model.manifest, settings.models_directory / name, autoencoders)) is not None
    }
    manifests = [model.manifest for model in models.values()]
    wanted: dict[Kind, str | None] = {
        "classifier": settings.default_classifier,
        "embedder": settings.default_embedder,
    }
    chosen = {kind: choose_default(manifests, name, kind) for kind, name in wanted.items()}
    defaults = {kind: name for kind, name in chosen.items() if name is not None}
    return Models(models, defaults, autoencoders, difficulties)


def choose_default(manifests: list[Manifest], setting: str | None, kind: Kind) -> str | None:
    """The name of the kind's default: the setting, else the one whose manifest says so, else the only one; None if
    there is no model of the kind.

    Raises ModelFolderError, by name, where several are left, or the setting names none.
    """
    names = [each.name for each in manifests if each.kind == kind]
    if setting is not None:
        if setting not in names:
            raise ModelFolderError(f"The default {kind} is set to {setting!r}; there is {', '.join(names) or 'none'}")
        return setting
    if not names:
        return None
    said = [each.name for each in manifests if each.kind == kind and each.default] or names
    if len(said) != 1:
        raise ModelFolderError(
            f"Which {kind} is the default, of {', '.join(said)}? "
            f"Set PHOTOTRIAGE_DEFAULT_{kind.upper()}, or `default` in one manifest alone"
        )
    return said[0]
