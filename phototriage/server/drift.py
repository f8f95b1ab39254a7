"""Metrics of the models' answers: when these distributions change, the photos have probably changed."""

from __future__ import annotations

from functools import cache

from prometheus_client import Counter, Histogram

from phototriage.collections.schemas import AddResponse, CollectionQueryResponse
from phototriage.collections.triage_schemas import CollectionPart
from phototriage.common.metrics import ADDITIONS, CONFIDENCE, DIFFICULTY, DUPLICATES, LABELS, QUERIES, SIMILARITY
from phototriage.triage.comparison_schemas import DuplicatesResponse
from phototriage.triage.schemas import ClassifyResponse, DifficultyResponse, TriageResponse


def count_label(answer: ClassifyResponse) -> None:
    confidence, labels = _of_label(answer.model.name, answer.label)
    confidence.observe(answer.confidence)
    labels.inc()


@cache  # as many entries as the models have labels, as in the metrics themselves
def _of_label(model: str, label: str) -> tuple[Histogram, Counter]:
    return CONFIDENCE.labels(model), LABELS.labels(model, label)


def count_difficulty(answer: DifficultyResponse) -> None:
    DIFFICULTY.labels(answer.model.name).observe(answer.score)


def count_pair(answer: DuplicatesResponse) -> None:
    SIMILARITY.labels(answer.model.name).observe(answer.similarity)
    DUPLICATES.labels(answer.model.name, str(answer.is_duplicate).lower()).inc()


def count_addition(answer: AddResponse) -> AddResponse:
    """The answer, counted."""
    ADDITIONS.labels(answer.outcome).inc()
    return answer


def count_collection_part(part: CollectionPart) -> CollectionPart:
    """The part of a triage's answer, counted as the addition or the query that it is."""
    if part.outcome is None:
        QUERIES.labels(str(part.is_duplicate).lower()).inc()
    else:
        ADDITIONS.labels(part.outcome).inc()
    return part


def count_query(answer: CollectionQueryResponse) -> CollectionQueryResponse:
    """The answer, counted."""
    QUERIES.labels(str(answer.is_duplicate).lower()).inc()
    return answer


def count_parts(answer: TriageResponse) -> None:
    if answer.classify is not None:
        count_label(answer.classify)
    if answer.difficulty is not None:
        count_difficulty(answer.difficulty)
