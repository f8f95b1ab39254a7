"""Verification of an index's pairs by their kept signatures."""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from phototriage.verification.signature_cache import SignatureCache
from phototriage.verification.verifier import Verifier

Probabilities = NDArray[np.float64]

MOST_KEPT = 4096  # probabilities: of copies whose signatures are equal each is computed once


class PairVerifier:
    """Gives probabilities of being duplicates; from `least` on two images are."""

    def __init__(self, verifier: Verifier, least: float, threads: int = 0) -> None:
        """threads: that verify side by side; 0: one for each core."""
        self.least = least
        self._verifier, self._decode = verifier, SignatureCache()
        self._threads = threads or len(os.sched_getaffinity(0))
        self._kept = lru_cache(MOST_KEPT)(self._verify)

    def probability(self, a: bytes, b: bytes) -> float:
        """Of two signatures; 0 where there is nothing to compare. Raises SignatureError."""
        return self._kept(*sorted((a, b)))

    def probabilities(self, signature: bytes, others: Sequence[bytes]) -> Probabilities:
        """Of one signature with each of others (n): (n,)."""
        return np.array([self.probability(signature, other) for other in others], np.float64)

    def probabilities_of_all(self, pairs: Sequence[tuple[bytes, Sequence[bytes]]]) -> list[Probabilities]:
        """As `probabilities` of each, side by side."""
        pool = ThreadPoolExecutor(self._threads)
        try:
            return list(pool.map(lambda pair: self.probabilities(*pair), pairs))
        finally:
            pool.shutdown(cancel_futures=True)

    def _verify(self, a: bytes, b: bytes) -> float:
        return self._verifier.verify(self._decode(a), self._decode(b), self.least).probability
