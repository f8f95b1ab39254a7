"""All that is served: every model folder of the models directory, and which answers where none is named."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, NamedTuple

from phototriage.common.errors import ModelFolderError, UnknownModel
from phototriage.difficulty import predictor
from phototriage.difficulty.predictor import Difficulty
from phototriage.model_folder import manifest
from phototriage.model_folder.manifest import Manifest
from phototriage.models.autoencoder import Autoencoder
from phototriage.models.classifier import Classifier
from phototriage.models.embedder import Embedder
from phototriage.models.loading import load_any
from phototriage.settings import Settings

Kind = Literal["classifier", "embedder"]
Loaded = Classifier | Embedder | Autoencoder


class DifficultyModels(NamedTuple):
    """What tells how hard an image is for a classifier."""

    classifier: Classifier
    autoencoder: Autoencoder | None
    difficulty: Difficulty


@dataclass(frozen=True)
class Models:
    """What is served: classifiers and embedders by name, which of each kind answers where none is named, the
    autoencoders, which answer nothing by themselves, and the difficulty scores of classifiers that have one."""

    classifiers: Mapping[str, Classifier]
    embedders: Mapping[str, Embedder]
    defaults: Mapping[Kind, str]
    autoencoders: Mapping[str, Autoencoder] = field(default_factory=dict)
    difficulties: Mapping[str, Difficulty] = field(default_factory=dict)

    @property
    def all(self) -> list[Loaded]:
        """By name."""
        models: list[Loaded] = [*self.classifiers.values(), *self.embedders.values(), *self.autoencoders.values()]
        return sorted(models, key=lambda model: model.name)

    @property
    def manifests(self) -> list[Manifest]:
        """Of all, by name."""
        return [model.manifest for model in self.all]

    def classifier(self, name: str | None = None) -> Classifier:
        """The classifier of that name, or the default one. Raises UnknownModel, which lists what there is."""
        return self.classifiers[self._named("classifier", self.classifiers, name)]

    def embedder(self, name: str | None = None) -> Embedder:
        """The embedder of that name, or the default one. Raises UnknownModel, which lists what there is."""
        return self.embedders[self._named("embedder", self.embedders, name)]

    @property
    def default_note(self) -> str:
        """A line that says which of several classifiers answers where none is named; empty where there aren't."""
        if len(self.classifiers) < 2:
            return ""
        default, all_names = self.defaults["classifier"], ", ".join(self.classifiers)
        return (
            f"where no classifier is named, {default} answers, of {all_names}; to have another one do it: "
            "PHOTOTRIAGE_DEFAULT_CLASSIFIER=NAME"
        )

    def _named(self, kind: Kind, models: Mapping[str, Loaded], name: str | None) -> str:
        if not models:
            raise UnknownModel(f"No {kind} is served here. Export one into the models directory and start again.")
        if name is None:
            return self.defaults[kind]
        if name not in models:
            raise UnknownModel(f"No {kind} is called {name[:64]!r}; there is {', '.join(models)}.")
        return name

    def has_difficulty(self, name: str | None = None) -> bool:
        """Whether the classifier of that name, or the default one, is there and has a difficulty score."""
        return (self.defaults.get("classifier") if name is None else name) in self.difficulties

    def for_difficulty(self, name: str | None = None) -> DifficultyModels:
        """The classifier of that name or the default one, and what tells what is hard for it. Raises UnknownModel."""
        classifier = self.classifier(name)
        difficulty = self.difficulties.get(classifier.name)
        if difficulty is None:
            scored = f"; there is {', '.join(self.difficulties)}" if self.difficulties else ""
            raise UnknownModel(
                f"The classifier {classifier.name!r} has no difficulty score{scored}. Fit one: "
                "python -m training.difficulty"
            )
        name = difficulty.config.autoencoder
        return DifficultyModels(classifier, None if name is None else self.autoencoders[name], difficulty)


def load_difficulty(classifier: Manifest, folder: Path, autoencoders: Mapping[str, Autoencoder]) -> Difficulty | None:
    """The score of a classifier's folder, if it has one. Raises ModelFolderError where its autoencoder isn't the one
    that it was fitted with."""
    config = classifier.difficulty
    if config is None:
        return None
    if config.autoencoder is None:
        return predictor.read(config, folder, len(classifier.labels), None)
    remedy = "Export that one again, or fit the score again: python -m training.difficulty"
    if config.autoencoder not in autoencoders:
        raise ModelFolderError(
            f"{classifier.name} scores difficulty with {config.autoencoder}, which isn't here. {remedy}"
        )
    autoencoder = autoencoders[config.autoencoder].manifest
    if autoencoder.version != config.autoencoder_version:
        raise ModelFolderError(
            f"{classifier.name} scores difficulty with {config.autoencoder} of version {config.autoencoder_version}; "
            f"here is {autoencoder.version}. {remedy}"
        )
    return predictor.read(config, folder, len(classifier.labels), int(autoencoder.output("latent").shape[1]))


def load_models(settings: Settings) -> Models:
    """Load every model folder of the models directory. Raises ModelFolderError, ProviderUnavailable."""
    return assemble(settings, _load_each(settings, folders_of(settings)))


def load_needed(settings: Settings, kinds: Collection[Kind], classifier: str | None, embedder: str | None) -> Models:
    """Of the model folders only those of these kinds that answer: the classifier and the embedder of that name, or the
    default ones. Errors as of `load_models`; a name that isn't there is left for `Models` to tell."""
    manifests = {folder: manifest.read(folder) for folder in folders_of(settings)}
    requested: dict[Kind, tuple[bool, str | None, str | None]] = {
        "classifier": ("classifier" in kinds, classifier, settings.default_classifier),
        "embedder": ("embedder" in kinds, embedder, settings.default_embedder),
    }
    defaults = {}
    for kind, (is_needed, named, setting) in requested.items():
        chosen = choose_default(list(manifests.values()), setting, kind)
        is_there = any((each.name, each.kind) == (named, kind) for each in manifests.values())
        defaults[f"default_{kind}"] = (named if is_there else chosen) if is_needed else None
    names = set(defaults.values())
    names |= {each.difficulty.autoencoder for each in manifests.values() if each.name in names and each.difficulty}
    names.discard(None)
    chosen_settings = settings.model_copy(update=defaults)
    return assemble(
        chosen_settings,
        _load_each(chosen_settings, [folder for folder in manifests if manifests[folder].name in names]),
    )


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
            return False  # reported when it is loaded

    return sorted(folders, key=is_classifier)


def default_embedder(settings: Settings, loaded: Mapping[str, Loaded]) -> Embedder | None:
    """The default one of those that are loaded, if it is clear which that is."""
    embedders = {model.name: model for model in loaded.values() if isinstance(model, Embedder)}
    try:
        name = choose_default([each.manifest for each in embedders.values()], settings.default_embedder, "embedder")
    except ModelFolderError:  # reported when all are put together
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
            f"The models directory {str(directory)!r} can't be read: {error.strerror}. Name one by "
            "PHOTOTRIAGE_MODELS_DIRECTORY, start where exported_models is, or install the wheel phototriage-models"
        ) from error
    if not folders:
        raise ModelFolderError(f"The models directory {str(directory)!r} holds no model: train and export one")
    return folders


def assemble(settings: Settings, loaded: Mapping[str, Loaded]) -> Models:
    """Loaded models, by the names of their folders, as one set. Raises ModelFolderError where they don't fit
    together."""
    classifiers = {name: model for name, model in loaded.items() if isinstance(model, Classifier)}
    embedders = {name: model for name, model in loaded.items() if isinstance(model, Embedder)}
    autoencoders = {name: model for name, model in loaded.items() if isinstance(model, Autoencoder)}
    difficulties = {
        name: difficulty
        for name, model in classifiers.items()
        if (difficulty := load_difficulty(model.manifest, settings.models_directory / name, autoencoders)) is not None
    }
    manifests = [model.manifest for model in (*classifiers.values(), *embedders.values())]
    configured: dict[Kind, str | None] = {
        "classifier": settings.default_classifier,
        "embedder": settings.default_embedder,
    }
    chosen = {kind: choose_default(manifests, name, kind) for kind, name in configured.items()}
    defaults = {kind: name for kind, name in chosen.items() if name is not None}
    return Models(classifiers, embedders, defaults, autoencoders, difficulties)


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
    declared = [each.name for each in manifests if each.kind == kind and each.default] or names
    if len(declared) != 1:
        raise ModelFolderError(
            f"Which {kind} is the default, of {', '.join(declared)}? "
            f"Set PHOTOTRIAGE_DEFAULT_{kind.upper()}, or `default` in one manifest alone"
        )
    return declared[0]
