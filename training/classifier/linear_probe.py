"""A logistic regression on the frozen backbone's features: the head that fine-tuning starts from, and the figure that
it has to beat."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression

from training.networks.classifier import Classifier

STRENGTHS = (0.001, 0.003, 0.01, 0.03, 0.1)  # scikit-learn's C


def fit_head(
    train: NDArray[np.float32],
    train_labels: NDArray[np.int64],
    val: NDArray[np.float32],
    val_labels: NDArray[np.int64],
) -> LogisticRegression:
    """The regression whose strength of regularisation is best on validation."""
    best: LogisticRegression | None = None
    best_score = -1.0
    for strength in STRENGTHS:
        model = LogisticRegression(C=strength, max_iter=1000).fit(train, train_labels)
        score = float(model.score(val, val_labels))
        if score > best_score:
            best, best_score = model, score
    assert best is not None
    return best


def copy_into(network: Classifier, model: LogisticRegression) -> None:
    """Copy the regression into the network's last layer."""
    weights, biases = model.coef_, model.intercept_
    if len(weights) == 1:  # two classes: one row says the second against the first
        weights, biases = np.concatenate([-weights, weights]) / 2, np.concatenate([-biases, biases]) / 2
    with torch.no_grad():
        network.head.weight.copy_(torch.from_numpy(weights))
        network.head.bias.copy_(torch.from_numpy(biases))


def regression_logits(model: LogisticRegression, values: NDArray[np.float32]) -> NDArray[np.float32]:
    """Logits (n, classes) of the regression for features (n, features)."""
    scores = np.asarray(model.decision_function(values), np.float32)
    return np.stack([-scores / 2, scores / 2], 1) if scores.ndim == 1 else scores
