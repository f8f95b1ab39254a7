"""Failures as the problem objects of RFC 9457: those that are foreseen, and those that nobody foresaw."""

from __future__ import annotations

from phototriage.common.errors import PhototriageError
from phototriage.triage.schemas import Problem


def problem_of(error: PhototriageError) -> Problem:
    """A failure that the caller can act on."""
    return Problem(title=error.title, status=error.status, code=error.code, detail=error.detail)


def bug() -> Problem:
    """What nobody foresaw."""
    return Problem(
        title="The server failed",
        status=500,
        code="internal_error",
        detail="This is a fault of the server, which its log describes. The request can be sent again.",
    )
