"""A finished training becomes a model folder: graph, manifest, golden vectors, card. It is refused where ONNX Runtime
and torch disagree on the trained weights.

`python -m training.export --name RUN`.
"""

from training.export.model_folder import export
from training.export.reimport import read_exported

__all__ = ["export", "read_exported"]
