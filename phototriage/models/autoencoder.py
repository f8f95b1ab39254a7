"""An autoencoder, ready to run: what it says of images is a part of their difficulty."""

from __future__ import annotations

import numpy as np

from phototriage.difficulty.signals import Reconstruction
from phototriage.model_folder.graph_check import check_inputs
from phototriage.model_folder.manifest import IMAGES, Manifest, Role
from phototriage.runtime.batching import NO_DEADLINE
from phototriage.runtime.sessions import Floats, Images, Sessions, batcher
from phototriage.settings import Settings

AUTOENCODER_ROLES: tuple[Role, ...] = ("latent", "reconstruction_error")


class Autoencoder:
    """A model folder of kind autoencoder, loaded. It answers no question by itself, but has a part in difficulty."""

    def __init__(self, manifest: Manifest, model: bytes, settings: Settings) -> None:
        """`model` is a serialised ONNX model. Raises ModelFolderError, ProviderUnavailable."""
        self.manifest = manifest
        self._sessions = sessions = Sessions(model, manifest.name, settings)
        self._outputs = names = [manifest.output(role).name for role in AUTOENCODER_ROLES]
        check_inputs(sessions.shared, manifest)
        self._run = batcher(lambda images: sessions.run(names, {IMAGES: images}), manifest.name, settings)

    @property
    def name(self) -> str:
        return self.manifest.name

    def run(self, images: Images, deadline: float = NO_DEADLINE) -> dict[str, Floats]:
        """`images` uint8 (N, H, W, C) 0–255 → the outputs by role."""
        return dict(zip(AUTOENCODER_ROLES, self._run(images, deadline=deadline), strict=True))

    def measure(self, images: Images, deadline: float = NO_DEADLINE) -> Reconstruction:
        """`images` uint8 (N, H, W, C) 0–255 → latent and errors of each."""
        outputs = self.run(images, deadline)
        errors = outputs["reconstruction_error"]
        return Reconstruction(outputs["latent"], errors[:, 0], errors[:, 1])

    def warm_up(self) -> None:
        config = self.manifest.input
        images = np.zeros((1, config.height, config.width, config.channels), np.uint8)
        self._sessions.warm_up(self._outputs, {IMAGES: images})
