"""How hard a photo is: signals from the models' outputs, and the score, percentile and reasons that follow from them.

NumPy only; fitted by `training.difficulty`.
"""

from phototriage.difficulty.config import DifficultyConfig
from phototriage.difficulty.predictor import Difficulty, DifficultyPrediction, Reason

__all__ = ["Difficulty", "DifficultyConfig", "DifficultyPrediction", "Reason"]
