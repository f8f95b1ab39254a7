"""Phototriage: what is this photo, how hard is it, have we seen it before, what did the model look at?"""

import os

__version__ = "0.1.0"  # that of pyproject.toml, which an image doesn't have

# ONNX Runtime tells its makers of its use, from 1.29 on, unless this is said before it is imported.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
