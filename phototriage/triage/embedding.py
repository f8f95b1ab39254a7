"""An embedding as JSON, so that a caller can keep it and send it instead of the image; refused if it is foreign."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from phototriage.common.errors import ForeignEmbedding, MalformedRequest
from phototriage.duplicates.pairs import LENGTH_TOLERANCE
from phototriage.triage.schemas import Embedding, EmbedResponse, ModelName
from phototriage.verification import signature
from phototriage.verification.signature import Signature, SignatureError

MAX_BYTES = 96_000  # of the JSON object: room for 10,000 dimensions and the largest signature
BYTES_A_VALUE = 4
LITTLE_ENDIAN = np.dtype("<f4")


@dataclass(frozen=True)
class EmbeddedImage:
    """What is kept of a photo: its embedding float32 (D), and its signature if verification is to compare it."""

    vector: NDArray[np.float32]
    signature: Signature | None = None


def encode(vector: NDArray[np.float32], model: ModelName, kept_signature: bytes | None = None) -> Embedding:
    """An embedding float32 (D) of that model, with the photo's signature if there is one, as the JSON object that
    `decode` takes."""
    return Embedding(
        model=model.name,
        version=model.version,
        dimension=len(vector),
        values=_base64(vector.astype(LITTLE_ENDIAN).tobytes()),
        signature=None if kept_signature is None else _base64(kept_signature),
    )


def _base64(content: bytes) -> str:
    return base64.b64encode(content).decode("ascii")


def decode(text: bytes, model: ModelName, parts: Sequence[int], same_as: Collection[str] = ()) -> EmbeddedImage:
    """The embedding in the JSON object that `encode` made for that model, or in the whole answer of /v1/embed, which is
    what a file holds that it was saved to. The rest as of `checked`; raises MalformedRequest, too, if `text` is no such
    object.
    """
    try:
        sent = _whole_response(text) or Embedding.model_validate_json(text, strict=True)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"])) or "the text"
        raise MalformedRequest(
            f"The embedding is not the JSON object that /v1/embed gives: {place[:64]}: {first['msg']}. "
            "Send its `embedding` as it came."
        ) from error
    return checked(sent, model, parts, same_as)


def checked(sent: Embedding, model: ModelName, parts: Sequence[int], same_as: Collection[str] = ()) -> EmbeddedImage:
    """What was sent as an embedding of that model. D is the sum of `parts`, each of length 1. `same_as`: other versions
    that embed a photo to the very same values.

    Raises ForeignEmbedding if it is of another model or version, or of another size, or if its values can't be an
    embedding, or its signature none of a photo.
    """
    if sent.model != model.name or sent.version not in (model.version, *same_as):
        raise ForeignEmbedding(
            f"The embedding is of model {sent.model[:64]!r}, version {sent.version[:64]!r}; it is compared by "
            f"{model.name!r}, version {model.version!r}. Embed the image again."
        )
    dimension = sum(parts)
    if sent.dimension != dimension:
        raise ForeignEmbedding(
            f"The embedding says {sent.dimension} dimensions; {model.name} has {dimension}. Embed the image again."
        )
    vector = _values(sent.values, dimension)
    if not np.isfinite(vector).all():
        raise ForeignEmbedding(
            f"{np.count_nonzero(~np.isfinite(vector))} of the embedding's {dimension} values are not finite, and all "
            "have to be. Send it as /v1/embed gave it."
        )
    _check_lengths(vector, parts)
    return EmbeddedImage(vector, None if sent.signature is None else _signature(sent.signature))


def _signature(text: str) -> Signature:
    try:
        return signature.decode(base64.b64decode(text, validate=True))
    except (binascii.Error, ValueError) as error:  # SignatureError is a ValueError too
        what = str(error) if isinstance(error, SignatureError) else "it is not base64"
        raise ForeignEmbedding(
            f"The embedding's signature can't be read: {what}. Send it as /v1/embed gave it, or leave it out: then the "
            "embedding alone is compared."
        ) from error


def _check_lengths(vector: NDArray[np.float32], parts: Sequence[int]) -> None:
    """Raise ForeignEmbedding unless the first part has length 1 and the others 1 or, of a plain surface, 0."""
    edges = np.cumsum(parts)
    for end, size in zip(edges, parts, strict=True):
        length = float(np.linalg.norm(vector[end - size : end].astype(np.float64)))
        if abs(length - 1) > LENGTH_TOLERANCE and (end == size or length):
            place = "" if len(parts) == 1 else f"'s part of values {end - size + 1} to {end}"
            raise ForeignEmbedding(
                f"The embedding{place} has length {length:.4g}, and it has to be 1 within {LENGTH_TOLERANCE}. Send it "
                "as /v1/embed gave it."
            )


def _whole_response(text: bytes) -> Embedding | None:
    try:
        return EmbedResponse.model_validate_json(text, strict=True).embedding
    except ValidationError:
        return None


def _values(text: str, dimension: int) -> NDArray[np.float32]:
    try:
        content = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:  # ValueError: letters beyond ASCII
        raise ForeignEmbedding(
            f"The embedding's values, {len(text)} characters, are not base64 ({error}). Send them as /v1/embed gave "
            "them."
        ) from error
    expected = dimension * BYTES_A_VALUE
    if len(content) != expected:
        raise ForeignEmbedding(
            f"The embedding's values have {len(content)} bytes; {dimension} float32 values have {expected}. Send them "
            "as /v1/embed gave them."
        )
    return np.frombuffer(content, LITTLE_ENDIAN).astype(np.float32)
