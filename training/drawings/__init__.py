"""Images that are no photos, drawn from a seed: documents, screenshots, codes, charts, line art, blanks.

Two of a kind may share a template (the same layout, colours and furniture) and differ in what they say, as slides,
forms and tickets do: those are the hard negatives of a duplicate search. `kinds.KINDS` names all.
"""

from training.drawings.kinds import KINDS, draw, draw_set

__all__ = ["KINDS", "draw", "draw_set"]
