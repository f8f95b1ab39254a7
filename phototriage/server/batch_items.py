"""The images of a batch, each with its answers or with why there are none."""

from __future__ import annotations

from phototriage.common.errors import PhototriageError
from phototriage.images.pixels import ImageLimits
from phototriage.server import drift
from phototriage.server.form import File
from phototriage.triage import pipeline
from phototriage.triage.pipeline import Plan
from phototriage.triage.problems import problem_of
from phototriage.triage.schemas import BatchItem


def answer_item(plan: Plan, file: File, limits: ImageLimits, deadline: float) -> BatchItem | PhototriageError:
    """One image of a batch, but for its number. No error of one is raised, since that would take the others along."""
    try:
        if file.refused is not None:
            raise file.refused
        answer = pipeline.respond(plan, file.joined(), limits, deadline)
    except PhototriageError as error:
        return error
    drift.count_parts(answer)
    return BatchItem(index=0, filename=file.name, **dict(answer))


def numbered(index: int, file: File, outcome: BatchItem | PhototriageError) -> BatchItem:
    if isinstance(outcome, PhototriageError):
        return BatchItem(index=index, filename=file.name, error=problem_of(outcome))
    return outcome.model_copy(update={"index": index})
