"""Embeddings that are kept, and what comes near them: a folder of segments with an exact search and a graph beyond
100,000 images, or a LanceDB table for more than one machine holds.
"""

from phototriage.index.image_index import ImageIndex
from phototriage.index.lance_index import LanceIndex

__all__ = ["ImageIndex", "LanceIndex"]
