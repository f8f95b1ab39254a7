"""From an image file's bytes to a model's input, and back to the photo's own pixels.

`pixels.prepare` does all of it: the header is read before memory is allocated (`headers`), EXIF rotation is applied
(`upright`), and the image is resized (`resampling`) as the model's `InputConfig` says. `geometry` maps masks and points
back.
"""

from phototriage.images.input_config import InputConfig
from phototriage.images.pixels import ImageLimits, Prepared, decode, decode_for, prepare, resize
from phototriage.images.upright import Upright

__all__ = ["ImageLimits", "InputConfig", "Prepared", "Upright", "decode", "decode_for", "prepare", "resize"]
