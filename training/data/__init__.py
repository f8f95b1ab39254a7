"""Images to train on: what is in a source, batches and augmentation.

`near_identical` finds pictures that are the same, `splits` keeps them in one split, and `loading` applies both.

`python -m training.data describe SOURCE` tells of a source before anything is trained on it.
"""

from training.data.dataset import Dataset, Record
from training.data.loading import load
from training.data.photos import Photos, load_photos

__all__ = ["Dataset", "Photos", "Record", "load", "load_photos"]
