"""An image's embedding: kept as JSON, sent in the image's place, read as numbers."""

from __future__ import annotations

import base64
import binascii
import struct
from typing import TYPE_CHECKING, Any, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

BYTES_A_VALUE = 4


class Embedding(BaseModel):
    """An image as a point on the unit sphere, by one version of one model.

    No other version can compare it, and a plain cosine is not what the server's `similarity` is: compare two by
    `Client.duplicates`, or by `Comparer`, which applies the model's own rule.
    """

    model_config = ConfigDict(extra="ignore", frozen=True)

    model: str
    version: str
    dimension: int
    values: str = Field(
        description="Little-endian float32 values in base64", json_schema_extra={"contentEncoding": "base64"}
    )
    signature: str | None = Field(
        default=None,
        description="A small grey copy of the photo, in base64, by which the server verifies that two photos are one; "
        "without it they are compared by the values alone",
        json_schema_extra={"contentEncoding": "base64"},
    )

    def to_json(self) -> str:
        """To be kept, and read by `from_json`, by this or another client."""
        return self.model_dump_json(exclude_none=True)  # as it came

    @classmethod
    def from_json(cls, text: str | bytes) -> Self:
        """What `to_json` gave, or a whole answer of /v1/embed as a file holds it. Raises ValueError for other text."""
        try:
            whole = _Answer.model_validate_json(text)
        except ValidationError:
            return cls.model_validate_json(text)
        return cls.model_validate(whole.embedding)

    def floats(self) -> list[float]:
        """The values, as many as `dimension`. Raises ValueError where they are not so many float32."""
        content = self._content()
        return list(struct.unpack(f"<{self.dimension}f", content))

    def vector(self) -> NDArray[np.float32]:
        """The same as a NumPy array float32 (D). Raises ValueError, and ImportError where there is no NumPy."""
        import numpy as np

        return np.frombuffer(self._content(), np.dtype("<f4")).astype(np.float32)

    def _content(self) -> bytes:
        try:
            content = base64.b64decode(self.values, validate=True)
        except (binascii.Error, ValueError) as error:
            raise ValueError(f"the embedding's values are not base64 ({error}): keep it as it came") from error
        expected = self.dimension * BYTES_A_VALUE
        if len(content) != expected:
            raise ValueError(
                f"the embedding has {len(content)} bytes, and {self.dimension} float32 values have {expected}: keep it "
                "as it came"
            )
        return content


class _Answer(BaseModel):
    embedding: dict[str, Any]
