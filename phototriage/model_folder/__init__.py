"""What a model folder holds and proves: the manifest with its hashes, and the golden vectors that are replayed."""

from phototriage.model_folder.manifest import Manifest

__all__ = ["Manifest"]
