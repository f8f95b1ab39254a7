"""Embeddings compared without the server, by the rule that the model's manifest tells. Needs NumPy."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import TYPE_CHECKING

from phototriage_client.answers import DuplicatesResponse, ModelName
from phototriage_client.embedding import Embedding
from phototriage_client.manifests import LayoutRescoring, ModelInfo

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

# The layout "luma_cosines_8": 64 numbers, of which a mirrored image has the first half too, and the second negative.
LAYOUT = 64
EVEN = LAYOUT // 2


class Comparer:
    """Compares embeddings of one version of an embedder by their similarity alone: it does not verify.

    It says, to rounding, what the server says of two embeddings without signatures. Where both have one, ask
    `Client.duplicates`, which lays one image over the other; the similarity tells which pairs are worth it.

    For kept embeddings by the thousand: `stack` them once, and ask for `similarities`.
    """

    def __init__(self, model: ModelInfo) -> None:
        """`model` is `client.models().default("embedder")`, or another embedder. Raises ValueError for another kind,
        and ImportError where there is no NumPy."""
        import numpy as np

        if model.decision is None:
            raise ValueError(f"{model.name!r} is of kind {model.kind!r}; embedders alone compare images")
        self._numpy = np
        self._decision = model.decision
        self.model = ModelName(name=model.name, version=model.version)
        self._versions = {model.version, *model.same_embeddings_as}
        shape = next(output.shape for output in model.outputs if output.role == "embedding")
        self._seen = int(shape[1])
        self.dimension = self._seen + (LAYOUT if self._decision.second_look else 0)

    @property
    def threshold(self) -> float:
        """The similarity from which on two are duplicates."""
        return self._decision.threshold

    def stack(self, embeddings: Iterable[Embedding]) -> NDArray[np.float32]:
        """(N, dimension). Raises ValueError where one is of another model or version, or isn't whole."""
        rows = [self._checked(each) for each in embeddings]
        return self._numpy.stack(rows) if rows else self._numpy.empty((0, self.dimension), self._numpy.float32)

    def similarities(self, left: NDArray[np.float32], right: NDArray[np.float32]) -> NDArray[np.float64]:
        """(N,): of rows of `left` (N, dimension) with the same rows of `right`; one of them may be a single row, which
        is compared with all."""
        a, b = left.astype(self._numpy.float64), right.astype(self._numpy.float64)
        seen, placed = slice(None, self._seen), slice(self._seen, None)
        cosines = _cosines(a[..., seen], b[..., seen])
        look = self._decision.second_look
        return cosines if look is None else _look_again(look, cosines, _agreement(a[..., placed], b[..., placed]))

    def probability(self, similarity: float) -> float:
        """Of being duplicates, among pairs of which the model's prior share are."""
        exponent = self._decision.slope * similarity + self._decision.intercept
        # Each side by the form whose power can't overflow.
        if exponent >= 0:
            return 1 / (1 + math.exp(-exponent))
        return math.exp(exponent) / (1 + math.exp(exponent))

    def compare(self, a: Embedding, b: Embedding, threshold: float | None = None) -> DuplicatesResponse:
        """By the similarity, so `verified` is False; signatures are passed over. Raises ValueError as `stack` does."""
        similarity = float(self.similarities(self.stack([a]), self.stack([b]))[0])
        limit = self.threshold if threshold is None else threshold
        reaches = similarity >= limit
        side = "at least" if reaches else "below"
        return DuplicatesResponse(
            model=self.model,
            is_duplicate=reaches,
            decision="duplicate" if reaches else "not_duplicate",
            reason=f"The similarity of the embeddings is {similarity:.3f}, {side} the threshold {limit:.3f}; "
            "not verified.",
            verified=False,
            similarity=similarity,
            threshold=limit,
            threshold_source="tuned" if threshold is None else "request",
            probability=self.probability(similarity),
            margin=similarity - limit,
        )

    def _checked(self, embedding: Embedding) -> NDArray[np.float32]:
        if embedding.model != self.model.name or embedding.version not in self._versions:
            raise ValueError(
                f"the embedding is of {embedding.model!r}, version {embedding.version!r}, and this compares those of "
                f"{self.model.name!r}, version {self.model.version!r}: embed the image again"
            )
        if embedding.dimension != self.dimension:
            raise ValueError(
                f"the embedding has {embedding.dimension} dimensions, and {self.model.name!r} gives {self.dimension}: "
                "embed the image again"
            )
        vector = embedding.vector()
        if not self._numpy.isfinite(vector).all():
            raise ValueError("the embedding has values that are not finite: embed the image again")
        return vector


def _cosines(a: NDArray[np.float64], b: NDArray[np.float64]) -> NDArray[np.float64]:
    # The root of the product of squares, not the product of roots: for equal rows it is their square exactly.
    lengths = ((a * a).sum(-1) * (b * b).sum(-1)) ** 0.5
    found: NDArray[np.float64] = ((a * b).sum(-1) / lengths).clip(-1, 1)
    return found


def _agreement(a: NDArray[np.float64], b: NDArray[np.float64]) -> NDArray[np.float64]:
    """Cosine of two layouts, or with one mirrored, whichever is more; 0 beside a plain surface, whose layout is 0."""
    lengths = (_products(a, a) * _products(b, b)) ** 0.5
    found: NDArray[np.float64] = _products(a, b) / (lengths + (lengths == 0))
    return found


def _products(a: NDArray[np.float64], b: NDArray[np.float64]) -> NDArray[np.float64]:
    products = a * b
    found: NDArray[np.float64] = products[..., :EVEN].sum(-1) + abs(products[..., EVEN:].sum(-1))
    return found


def _look_again(
    look: LayoutRescoring, cosines: NDArray[np.float64], agreement: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Raise cosines where the layouts agree wholly, and lower them where they agree by half."""
    import numpy as np

    share = look.weight * ((agreement - look.floor) / (1 - look.floor)).clip(0, 1)
    raised = cosines + share * (1 - cosines)
    rise = (agreement - look.doubt_from) / (look.doubt_most - look.doubt_from)
    fall = (1 - agreement) / (1 - look.doubt_most)
    suspicion = np.minimum(rise, fall).clip(0, 1)
    found: NDArray[np.float64] = (raised - look.doubt * suspicion).clip(-1)
    return found
