"""Model folders: the manifest, golden vectors, graphs and ONNX Runtime sessions, and the set of models that is served.

`load_models` verifies every folder of the models directory, replays its golden vectors and warms it up.
"""

from phototriage.models.autoencoder import Autoencoder
from phototriage.models.manifest import Manifest
from phototriage.models.model_set import Models, load_models, load_needed
from phototriage.models.runtime import OnnxModel, load_any, load_autoencoder, load_model

__all__ = [
    "Autoencoder",
    "Manifest",
    "Models",
    "OnnxModel",
    "load_any",
    "load_autoencoder",
    "load_model",
    "load_models",
    "load_needed",
]
