"""Model folders, verified and made ready to run."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import onnx

from phototriage.common.errors import ModelFolderError
from phototriage.model_folder import golden, manifest
from phototriage.model_folder.manifest import MODEL_FILE, OUTPUT_WEIGHTS, Manifest
from phototriage.models.autoencoder import AUTOENCODER_ROLES, Autoencoder
from phototriage.models.classifier import Classifier, shared_with
from phototriage.models.embedder import Embedder
from phototriage.runtime.forward_graph import forward_only
from phototriage.runtime.predicted_label import explains_predicted
from phototriage.runtime.shared_stages import digests
from phototriage.settings import Settings
from phototriage.verification import verifier

logger = logging.getLogger(__name__)


def load_model(folder: Path, settings: Settings, embedder: Embedder | None = None) -> Classifier | Embedder:
    """Verify a model folder's hashes, load it, replay its golden vectors, warm it up. `embedder`: one that a classifier
    may share its first stages with.

    Raises ModelFolderError, which names the file and the difference, also for an autoencoder; or ProviderUnavailable.
    """
    with _unchanged(folder) as contents:
        contents.main_role  # noqa: B018 — raises for a kind that can't be loaded like this
        return _load_explained(contents, folder, settings, embedder)


def load_classifier(folder: Path, settings: Settings, embedder: Embedder | None = None) -> Classifier:
    """As `load_model`, of a classifier, and for no other kind."""
    model = load_model(folder, settings, embedder)
    if not isinstance(model, Classifier):
        raise ModelFolderError(f"{model.name} is of kind {model.manifest.kind!r}, not a classifier")
    return model


def load_embedder(folder: Path, settings: Settings) -> Embedder:
    """As `load_model`, of an embedder, and for no other kind."""
    model = load_model(folder, settings)
    if not isinstance(model, Embedder):
        raise ModelFolderError(f"{model.name} is of kind {model.manifest.kind!r}, not an embedder")
    return model


def load_autoencoder(folder: Path, settings: Settings) -> Autoencoder:
    """As `load_model`, of an autoencoder, and for no other kind."""
    with _unchanged(folder) as contents:
        if contents.kind != "autoencoder":
            raise ModelFolderError(f"{contents.name} is of kind {contents.kind!r}, not an autoencoder")
        return _load_autoencoder(contents, folder, settings)


def load_any(folder: Path, settings: Settings, embedder: Embedder | None = None) -> Classifier | Embedder | Autoencoder:
    """Either, by the kind that the manifest says."""
    with _unchanged(folder) as contents:
        if contents.kind == "autoencoder":
            return _load_autoencoder(contents, folder, settings)
        return _load_explained(contents, folder, settings, embedder)


@contextmanager
def _unchanged(folder: Path) -> Iterator[Manifest]:
    """The verified manifest of a folder that is being read. Raises ModelFolderError if it is another one by the end, as
    when an export puts a new version into its place meanwhile, or if it is gone."""
    try:
        contents = _verified(folder)
        yield contents
        now = manifest.read(folder).version
    except OSError as error:
        raise ModelFolderError(f"{folder.name} can't be read: {error.strerror}. Try again") from error
    if now != contents.version:
        raise ModelFolderError(f"{folder.name} was replaced while it was read, {contents.version} by {now}. Try again")


def _verified(folder: Path) -> Manifest:
    contents = manifest.read(folder)
    for needed in (MODEL_FILE, golden.FILE_NAME):
        if needed not in contents.files:
            raise ModelFolderError(f"{folder.name}/{manifest.FILE_NAME} names no {needed}: export the model again")
    return contents


def _load_autoencoder(contents: Manifest, folder: Path, settings: Settings) -> Autoencoder:
    model = Autoencoder(contents, (folder / MODEL_FILE).read_bytes(), settings)
    with _golden_of(folder):
        golden.replay_answers(model.run, AUTOENCODER_ROLES, folder)
    model.warm_up()
    return model


def _load_explained(
    contents: Manifest, folder: Path, settings: Settings, embedder: Embedder | None
) -> Classifier | Embedder:
    main = contents.output(contents.main_role).name
    try:
        whole = onnx.load_model_from_string((folder / MODEL_FILE).read_bytes())
        forward = forward_only(whole, (main,))
        if contents.kind == "classifier":
            known = digests(forward)
            whole = explains_predicted(whole, OUTPUT_WEIGHTS, main, contents.width)
    except Exception as error:  # protobuf and onnx raise what they like at a file that was never a model
        raise ModelFolderError(f"{folder.name}/{MODEL_FILE} is not a model that can be read: {error}") from error
    model: Classifier | Embedder
    if contents.kind == "classifier":
        shared = shared_with(embedder, contents, known)
        model = Classifier(contents, forward, whole, settings, known, shared)
        if not model.shares_rightly():
            logger.warning(
                "%s and its embedder begin alike, but answer otherwise together: each runs alone", folder.name
            )
            model = Classifier(contents, forward, whole, settings, known)
    else:
        config = contents.verification
        verifier_of_it = None if config is None else verifier.read(config, folder)
        model = Embedder(contents, forward, whole, settings, verifier_of_it)
    with _golden_of(folder):
        golden.replay(model, folder)
    model.warm_up()
    return model


@contextmanager
def _golden_of(folder: Path) -> Iterator[None]:
    """Any failure to run the folder's golden vectors as ModelFolderError."""
    try:
        yield
    except ModelFolderError:
        raise
    except Exception as error:  # vectors of another shape, at which ONNX Runtime raises errors of its own
        raise ModelFolderError(f"{folder.name}/{golden.FILE_NAME} can't be run: {error}") from error
