"""From embeddings to duplicates: the similarity of two, the decision, its probability, and groups. NumPy only.

`layout` describes where a picture is light and dark, `layout_rescoring` what that does to a cosine, and `candidates`
names pairs among very many embeddings.
"""

from phototriage.duplicates.layout_rescoring import LayoutRescoring
from phototriage.duplicates.pairs import (
    Group,
    groups,
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
