"""From an image file's bytes to a model's input, and back to the photo's own pixels.

`pixels.prepare` is the one function that does it: headers are read before anything is allocated, EXIF rotation is
applied (`upright`), and the model's own `InputConfig` says what is resized and how.
"""

from phototriage.images.input_config import InputConfig
from phototriage.images.pixels import ImageLimits, Prepared, decode, decode_for, prepare, resize
from phototriage.images.upright import Upright

__all__ = ["ImageLimits", "InputConfig", "Prepared", "Upright", "decode", "decode_for", "prepare", "resize"]
