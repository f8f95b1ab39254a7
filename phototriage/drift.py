"""What the models say, counted: a change of these distributions is the first sign that the photos have changed."""

from __future__ import annotations

from phototriage.metrics import CONFIDENCE, DIFFICULTY, DUPLICATES, LABELS, SIMILARITY
from phototriage.schemas import ClassifyAnswer, DifficultyAnswer, DuplicatesAnswer, TriageAnswer


def count_label(answer: ClassifyAnswer) -> None:
    CONFIDENCE.labels(answer.model.name).observe(answer.confidence)
    LABELS.labels(answer.model.name, answer.label).inc()


def count_difficulty(answer: DifficultyAnswer) -> None:
    DIFFICULTY.labels(answer.model.name).observe(answer.score)


def count_pair(answer: DuplicatesAnswer) -> None:
    SIMILARITY.labels(answer.model.name).observe(answer.similarity)
    DUPLICATES.labels(answer.model.name, str(answer.is_duplicate).lower()).inc()


def count_parts(answer: TriageAnswer) -> None:
    if answer.classify is not None:
        count_label(answer.classify)
    if answer.difficulty is not None:
        count_difficulty(answer.difficulty)
