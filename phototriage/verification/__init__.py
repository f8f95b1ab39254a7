"""Whether one image is a copy of another, by laying it over the other and looking: points that both have, the
transform between them, and how far the pixels agree after it. What is measured is evidence; no decision is made here.
"""

from phototriage.verification.evidence import Evidence, verify
from phototriage.verification.signature import Signature, signature_of

__all__ = ["Evidence", "Signature", "signature_of", "verify"]
