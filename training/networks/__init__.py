"""Networks and their parts: backbones with a classifier's head, the embedder, the autoencoder; depthwise convolutions
in bfloat16, SSIM, prototypes.
"""

from training.networks.autoencoder import Autoencoder
from training.networks.classifier import Classifier
from training.networks.embedder import Embedder

__all__ = ["Autoencoder", "Classifier", "Embedder"]
