"""FeatOut: hide from the model, while it learns, the image parts that it relies on most. In torch, in batches, on the
training device; `phototriage.saliency` is the twin that serves.
"""

from training.featout.featout import FeatOut, input_gradients, patches_at, remove, smooth_maps

__all__ = ["FeatOut", "input_gradients", "patches_at", "remove", "smooth_maps"]
