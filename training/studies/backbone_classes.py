"""Ways to the class: logits of a model, or of a regression on a backbone's features; and their table."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from functools import partial
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

from training.classifier.linear_probe import regression_logits
from training.data.dataset import Dataset
from training.loop.evaluation import cross_entropy
from training.statistics.intervals import RESAMPLES, resamples, share
from training.statistics.mistakes import auroc
from training.statistics.tables import table, with_interval
from training.studies.backbone_figures import FOLDS, accuracy, beside_first, mcnemar
from training.studies.backbone_graphs import LAST, Floats
from training.studies.backbone_models import Models

STRENGTHS = (0.0001, 0.0003, 0.001, 0.003, 0.01, 0.03, 0.1)  # scikit-learn's C


def fit_class(values: Floats, labels: NDArray[np.int64], folds: NDArray[np.int64]) -> tuple[Pipeline, float]:
    """The regression of the strength that has the least log loss on other folds, and that strength."""

    def model(strength: float) -> Pipeline:
        return make_pipeline(StandardScaler(), LogisticRegression(C=strength, max_iter=500, tol=1e-3))

    def loss(strength: float) -> float:
        logits = np.empty((len(labels), len(np.unique(labels))), np.float32)
        for fold in np.unique(folds):
            fitted = model(strength).fit(values[folds != fold], labels[folds != fold])
            logits[folds == fold] = regression_logits(fitted, values[folds == fold])
        return cross_entropy(logits, labels)

    best = min(STRENGTHS, key=loss)
    return model(best).fit(values, labels), best


class ClassArm(NamedTuple):
    """A way to the class: logits (n, K) of validation images, and of the same with parts hidden."""

    name: str
    clean: Floats
    hidden: Floats


def class_arms(
    models: Models, data: Dataset, train: Mapping[str, Floats], *val: Mapping[str, Floats]
) -> list[ClassArm]:
    """train: features of the train images; val: features and logits of the validation images, clean and hidden."""
    own, other = models.classifier.input.height, models.embedder.input.height
    arms = [
        ClassArm(f"{name}: the classifier, {side} px", *(found[f"logits@{side}"] for found in val))
        for name, side in (("E0", own), ("E3", other))
    ]
    rows = data.indices("train")
    labels, folds = data.targets[rows], data.folds(FOLDS)[rows]
    for name, backbone, side in (("E1", "embedder", other), ("E1", "embedder", own), ("E4", "published", own)):
        key = f"{backbone}@{side}"
        taps = train[key].shape[1] - LAST
        for what, chosen in (
            ("last stage pooled", slice(taps - LAST, taps)),
            ("last stage averaged", slice(taps, None)),
            ("all taps", slice(0, taps)),
        ):
            model, strength = fit_class(train[key][:, chosen], labels, folds)
            logits = (regression_logits(model, found[key][:, chosen]) for found in val)
            arms.append(ClassArm(f"{name}: {backbone} backbone, {side} px, {what} (C = {strength:g})", *logits))
            print(arms[-1].name, file=sys.stderr)
    return arms


def class_table(
    arms: Sequence[ClassArm], labels: NDArray[np.int64], groups: NDArray[np.int64], seed: int, first: str = "E0"
) -> str:
    """Markdown; differences and tests against the first arm, which the headings call so."""
    samples, rows = resamples(groups, RESAMPLES, seed), [[arm.name] for arm in arms]
    for answers in ([arm.clean for arm in arms], [arm.hidden for arm in arms]):
        right = [logits.argmax(1) == labels for logits in answers]
        columns = beside_first([partial(accuracy, right=each) for each in right], len(labels), samples)
        for row, each, (_, more) in zip(rows, right, columns, strict=True):
            ours, theirs, p = mcnemar(each, right[0])
            row += [with_interval(share(int(each.sum()), len(each))), more]
            row.append(f"{ours} : {theirs} ({p:.2g})" if more else "")
    for row, arm in zip(rows, arms, strict=True):
        best = np.sort(arm.clean, axis=1)
        wrong, doubt = arm.clean.argmax(1) != labels, best[:, -2] - best[:, -1]
        row.append(f"{auroc(doubt, wrong):.3f}" if wrong.any() and not wrong.all() else "–")
    only, less = f"only it right : only {first} (p)", f"− {first}"
    return table(["", "accuracy", less, only, "30 % hidden", less, only, "AUROC of own mistakes, by doubt"], rows)
