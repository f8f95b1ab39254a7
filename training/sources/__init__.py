"""Where training images come from: folders, tars, tables of paths, IDX files, CSV tables of pixels; and what their
names say of classes and splits.
"""

from training.sources.files import DataError, open_files
from training.sources.source import Source, open_source

__all__ = ["DataError", "Source", "open_files", "open_source"]
