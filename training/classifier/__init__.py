"""Training of classifiers, with FeatOut, Random Erasing or neither.

`python -m training.classifier --data FOLDER --name RUN`.
"""

from training.classifier.fit import Fit, FitSettings
from training.classifier.job import train

__all__ = ["Fit", "FitSettings", "train"]
