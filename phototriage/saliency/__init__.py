"""Saliency: which pixels a prediction relies on, from the input gradient: masks, FeatOut's patches, and its settings.
NumPy only; `training.featout` has the same operations in torch.
"""

from phototriage.saliency.featout_config import FeatOutConfig
from phototriage.saliency.masks import featout_patches, featout_strength, gradient_mask, smooth_map, summarise

__all__ = ["FeatOutConfig", "featout_patches", "featout_strength", "gradient_mask", "smooth_map", "summarise"]
