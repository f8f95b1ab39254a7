"""Training of embedders for near-duplicates; no labels are needed.

`python -m training.embedder --data FOLDER --name RUN`.
"""

from training.embedder.fit import EmbedderFit, EmbedderSettings
from training.embedder.job import train

__all__ = ["EmbedderFit", "EmbedderSettings", "train"]
