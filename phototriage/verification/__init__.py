"""Whether one image is a copy of another, by laying it over the other and looking: points that both have, the
transform between them, and how far the pixels agree after it. What is measured is evidence, from which a `verifier`
decides; `placement` tells it in a photo's own pixels and in words, and `picture` draws it.
"""

import cv2

from phototriage.verification.evidence import Evidence, verify
from phototriage.verification.picture import draw, png
from phototriage.verification.placement import Placement, placement_of
from phototriage.verification.signature import Signature, signature_of

cv2.setNumThreads(1)  # of one call: requests, and pairs of a folder, run side by side already

__all__ = ["Evidence", "Placement", "Signature", "draw", "placement_of", "png", "signature_of", "verify"]
