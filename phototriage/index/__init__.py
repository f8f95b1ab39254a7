"""Indexes of embeddings, to find near-duplicates of new images: a folder of segments, searched exactly and, from
100,000 images on, by a graph (`image_index`); or a LanceDB table for more images than one machine holds
(`lance_index`).
"""

from phototriage.index.image_index import ImageIndex
from phototriage.index.lance_index import LanceIndex

__all__ = ["ImageIndex", "LanceIndex"]
