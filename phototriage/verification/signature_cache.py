"""Signatures that were decoded lately, with their points, for comparisons of many pairs."""

from __future__ import annotations

from functools import lru_cache

from phototriage.verification import signature
from phototriage.verification.signature import Signature

MOST = 1024  # signatures: about 130 KB each


class SignatureCache:
    """Decodes each signature once, as long as it is among the last `most` that were asked for. Threads may share it."""

    def __init__(self, most: int = MOST) -> None:
        self._decode = lru_cache(most)(signature.decode)

    def __call__(self, encoded: bytes) -> Signature:
        """Raises SignatureError."""
        return self._decode(encoded)
