"""Training of autoencoders, whose errors and latents are signals of difficulty.

`python -m training.autoencoder --data FOLDER --name RUN`.
"""

from training.autoencoder.fit import AutoencoderFit, AutoencoderSettings
from training.autoencoder.job import train

__all__ = ["AutoencoderFit", "AutoencoderSettings", "train"]
