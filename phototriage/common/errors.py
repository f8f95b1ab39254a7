"""Every error that a caller can cause: a stable code, an HTTP status, and what to do about it."""

from __future__ import annotations

from typing import ClassVar, Self


class PhototriageError(Exception):
    """An error that the caller can act on. `detail` names the value, the limit and the remedy.

    `code` is stable and machine-readable, `title` is the same for every error of the class, `status` is the HTTP status
    that the service answers with.
    """

    code: ClassVar[str] = "error"
    status: ClassVar[int] = 400
    title: ClassVar[str] = "The request can't be served"

    def __init__(self, detail: str) -> None:
        super().__init__(detail)
        self.detail = detail

    def of(self, part: str) -> Self:
        """The same error, whose detail names the part of the request that it is about."""
        return type(self)(f"{part}: {self.detail}")


class MalformedRequest(PhototriageError):
    code = "malformed_request"
    title = "The request is malformed"


class Unauthorized(PhototriageError):
    """The request has no valid API key, and the route needs one."""

    code = "unauthorized"
    status = 401
    title = "The request needs a valid key"


class UnknownModel(PhototriageError):
    code = "unknown_model"
    status = 404
    title = "There is no such model"


class TooLarge(PhototriageError):
    """Too many bytes, pixels or items."""

    code = "too_large"
    status = 413
    title = "The request is over a limit"


class UnsupportedImage(PhototriageError):
    """The bytes are of none of the supported image formats."""

    code = "unsupported_image"
    status = 415
    title = "Not an image format that is read"


class UndecodableImage(PhototriageError):
    """The format is known, but the image is truncated, corrupt or empty."""

    code = "undecodable_image"
    status = 422
    title = "The image can't be decoded"


class UnreadableFile(PhototriageError):
    """A file on this machine, or in a store, can't be read. Raised by commands, never by a request."""

    code = "unreadable_file"
    title = "The file can't be read"


class UnknownLabel(PhototriageError):
    code = "unknown_label"
    status = 422
    title = "The model has no such label"


class ForeignEmbedding(PhototriageError):
    """An embedding of another model or version, or one whose values can't have come from this one."""

    code = "foreign_embedding"
    status = 422
    title = "The embedding is not one of this model"


class UnknownCollection(PhototriageError):
    """There is no collection of that name, or the server keeps none."""

    code = "unknown_collection"
    status = 404
    title = "There is no such collection"


class UnknownPhoto(PhototriageError):
    code = "unknown_photo"
    status = 404
    title = "The collection has no such photo"


class ForeignCollection(PhototriageError):
    """A collection whose photos were embedded by a model, or a version of it, that isn't served."""

    code = "foreign_collection"
    status = 409
    title = "The collection is of another model"


class StoreUnavailable(PhototriageError):
    """What keeps a collection's photos can't be reached, is full, or is damaged."""

    code = "store_unavailable"
    status = 503
    title = "The collection can't be kept or read now"


class Overloaded(PhototriageError):
    """The queue is full, or models are being reloaded; the response has a Retry-After header."""

    code = "overloaded"
    status = 503
    title = "Too much is in flight"


class DeadlineExceeded(PhototriageError):
    code = "deadline_exceeded"
    status = 504
    title = "The answer would come after the deadline"


class ModelFolderError(PhototriageError):
    """A model folder can't be used: files are missing or were changed, the manifest doesn't fit, or the golden vectors
    are not reproduced. Raised at start and at reload, never by a request."""

    code = "model_folder"
    status = 503
    title = "The model folder can't be served"


class IndexFolderError(PhototriageError):
    """An index folder can't be used: it is of another model, corrupt, or another process writes to it."""

    code = "index_folder"
    title = "The index folder can't be used"
