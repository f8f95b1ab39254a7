"""From embeddings to duplicates: similarity, decision and probability of a pair, near pairs, groups. NumPy only.

`pairs` compares embeddings, `linkage` groups near pairs, `layout` describes where a picture is light and dark,
`layout_rescoring` corrects a cosine by it, and `candidates` finds likely pairs among very many embeddings.
"""

from phototriage.duplicates.layout_rescoring import LayoutRescoring
from phototriage.duplicates.linkage import Group, groups
from phototriage.duplicates.pairs import (
    is_duplicate,
    margin,
    near_pairs,
    near_pairs_of_many,
    probability,
    similarities,
    similarity,
)

__all__ = [
    "Group",
    "LayoutRescoring",
    "groups",
    "is_duplicate",
    "margin",
    "near_pairs",
    "near_pairs_of_many",
    "probability",
    "similarities",
    "similarity",
]
