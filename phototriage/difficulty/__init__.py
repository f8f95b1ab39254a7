"""How hard a photo is: signals from what the models give, and the score, percentile and reasons that they come to.

NumPy only; fitted by `training.difficulty`.
"""

from phototriage.difficulty.config import DifficultyConfig
from phototriage.difficulty.predictor import Difficulty, DifficultyPrediction, WhyHard

__all__ = ["Difficulty", "DifficultyConfig", "DifficultyPrediction", "WhyHard"]
