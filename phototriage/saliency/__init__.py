"""What a model looked at, from its input gradient: masks, the patches that FeatOut would hide, and FeatOut's settings.
NumPy only, the twin of `training.featout`.
"""

from phototriage.saliency.featout_config import FeatOutConfig
from phototriage.saliency.masks import featout_patches, featout_strength, gradient_mask, smooth_map, summarise

__all__ = ["FeatOutConfig", "featout_patches", "featout_strength", "gradient_mask", "smooth_map", "summarise"]
