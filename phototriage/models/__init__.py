"""Models ready to run (classifier, embedder, autoencoder), and the set of them that is served.

`load_models` verifies every folder of the models directory, replays its golden vectors and warms it up.
"""

from phototriage.model_folder.manifest import Manifest
from phototriage.models.autoencoder import Autoencoder
from phototriage.models.classifier import Classifier
from phototriage.models.embedder import Embedder
from phototriage.models.loading import load_any, load_autoencoder, load_classifier, load_embedder, load_model
from phototriage.models.model_set import Models, load_models, load_needed

__all__ = [
    "Autoencoder",
    "Classifier",
    "Embedder",
    "Manifest",
    "Models",
    "load_any",
    "load_autoencoder",
    "load_classifier",
    "load_embedder",
    "load_model",
    "load_models",
    "load_needed",
]
