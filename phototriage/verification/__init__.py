"""Whether one image is a copy of another, by laying it over the other and looking: points that both have, the
transform between them, and how far the pixels agree after it. What is measured is evidence; no decision is made here.
`placement` tells it in a photo's own pixels and in words, and `picture` draws it.
"""

from phototriage.verification.evidence import Evidence, verify
from phototriage.verification.picture import draw, png
from phototriage.verification.placement import Placement, placement_of
from phototriage.verification.signature import Signature, signature_of

__all__ = ["Evidence", "Placement", "Signature", "draw", "placement_of", "png", "signature_of", "verify"]
