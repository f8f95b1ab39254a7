"""Every failure that a caller of this client sees.

`temporary` says whether a later attempt may succeed, `begun` whether the server may have acted on the request.
"""

from __future__ import annotations

from typing import ClassVar

from phototriage_client.answers import ProblemDetails


class ClientError(Exception):
    """`detail` says what failed and what to do about it; `attempts`, how many times it was asked before giving up."""

    temporary: bool = False
    begun: bool = True

    def __init__(self, detail: str) -> None:
        super().__init__(detail)
        self.detail = detail
        self.attempts = 0


class UnreadableImage(ClientError):
    """What was given as an image can't be read here, so nothing was sent."""

    begun = False


class UnsendableId(ClientError):
    """A photo's id that can't be told to the server, or not in this way, so nothing was sent."""

    begun = False


class ConnectionFailed(ClientError):
    """No whole answer came. Nothing was sent where not `begun`."""

    def __init__(self, detail: str, temporary: bool = True, begun: bool = True) -> None:
        super().__init__(detail)
        self.temporary = temporary
        self.begun = begun


class TimedOut(ConnectionFailed):
    """Connecting, sending or answering took longer than the client's timeout."""


class UnexpectedAnswer(ClientError):
    """An answer that is none of this API's: another server's, or that of a server too new for this client."""


class Problem(ClientError):
    """The server's refusal: `code` (stable), `status` (HTTP), `title`, `detail`.

    `request_id` finds it in the server's log; `retry_after` is in seconds, where the server said so. A refusal that
    isn't in the server's format, as of a proxy, has the code http_STATUS.
    """

    known_code: ClassVar[str] = ""

    def __init__(
        self, details: ProblemDetails, request_id: str | None = None, retry_after: float | None = None
    ) -> None:
        super().__init__(details.detail)
        self.args = (details, request_id, retry_after)
        self.title = details.title
        self.status = details.status
        self.code = details.code
        self.request_id = request_id
        self.retry_after = retry_after
        self.temporary = details.status in (429, 503)
        if details.status == 429:
            self.begun = False

    def __str__(self) -> str:
        return f"{self.title}: {self.detail} ({self.code}, HTTP {self.status})"

    @staticmethod
    def of(details: ProblemDetails, request_id: str | None = None, retry_after: float | None = None) -> Problem:
        """As the class of its code; also of a batch's item."""
        return _BY_CODE.get(details.code, Problem)(details, request_id, retry_after)


class MalformedRequest(Problem):
    known_code = "malformed_request"


class Unauthorized(Problem):
    """The server has keys, and `api_key` is none of them."""

    known_code = "unauthorized"


class UnknownModel(Problem):
    known_code = "unknown_model"


class NotFound(Problem):
    """No such route: the address is of another server, or of an older one."""

    known_code = "not_found"


class MethodNotAllowed(Problem):
    known_code = "method_not_allowed"


class TooLarge(Problem):
    """Too many bytes, pixels or images."""

    known_code = "too_large"


class UnsupportedImage(Problem):
    """The bytes are not of an image format that is read."""

    known_code = "unsupported_image"


class UndecodableImage(Problem):
    """The image is truncated, corrupt or empty."""

    known_code = "undecodable_image"


class UnknownLabel(Problem):
    known_code = "unknown_label"


class ForeignEmbedding(Problem):
    """An embedding of another model or version. Embed the image again."""

    known_code = "foreign_embedding"


class UnknownCollection(Problem):
    """There is no collection of that name, or the server keeps none."""

    known_code = "unknown_collection"


class UnknownPhoto(Problem):
    known_code = "unknown_photo"


class ForeignCollection(Problem):
    """A collection of a model, or a version of it, that isn't served."""

    known_code = "foreign_collection"


class StoreUnavailable(Problem):
    """What keeps the collection's photos can't be reached, is full, or is damaged. It may have been begun."""

    known_code = "store_unavailable"


class InternalError(Problem):
    """A fault of the server, which its log describes under `request_id`."""

    known_code = "internal_error"


class Overloaded(Problem):
    """The queue is full, models are being loaded, or the server stops. Nothing was begun."""

    known_code = "overloaded"
    begun = False


class DeadlineExceeded(Problem):
    """The answer would have come after the server's deadline."""

    known_code = "deadline_exceeded"


_BY_CODE = {each.known_code: each for each in Problem.__subclasses__()}
