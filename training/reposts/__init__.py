"""What happens to a photo between two uploads: edits of its pixels, overlays, pages around it, and chains of these.
All are seeded, and scaled by a severity.
"""

from training.reposts.chains import draw_everyday, draw_hard, repost
from training.reposts.distortions import chain, distort, draw_chain

__all__ = ["chain", "distort", "draw_chain", "draw_everyday", "draw_hard", "repost"]
