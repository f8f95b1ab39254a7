"""Images to train on: what is in a source, which belong together, which split each is in, batches and augmentation.

`python -m training.data describe SOURCE` tells of a source before anything is trained on it.
"""

from training.data.dataset import Dataset, Record
from training.data.loading import load
from training.data.photos import Photos, load_photos

__all__ = ["Dataset", "Photos", "Record", "load", "load_photos"]
