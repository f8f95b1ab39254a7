"""The one path from an image file's bytes to an answer, and the answers' schemas.

No HTTP here: the service, the command line and scoring call it. `pipeline` decodes once and runs each model once,
`comparison` compares two images, `schemas` are the API's.
"""

from phototriage.triage.comparison import Side, duplicates
from phototriage.triage.pipeline import TriageRequest, classify, difficulty, embed, saliency, triage

__all__ = ["Side", "TriageRequest", "classify", "difficulty", "duplicates", "embed", "saliency", "triage"]
