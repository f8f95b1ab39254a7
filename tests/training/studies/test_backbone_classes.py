"""Ways to the class."""

from __future__ import annotations

import numpy as np

from training.studies.backbone_classes import STRENGTHS, fit_class


def test_a_regression_chooses_its_strength_on_other_folds() -> None:
    rng = np.random.default_rng(0)
    labels, folds = np.arange(400) % 2, np.arange(400) // 2 % 5
    noise = rng.normal(size=(400, 30)).astype(np.float32)
    assert fit_class(noise, labels, folds)[1] == STRENGTHS[0]  # the less is made of noise, the better
    told = noise + 2 * labels[:, np.newaxis] * (np.arange(30) == 0)
    model, strength = fit_class(told.astype(np.float32), labels, folds)
    assert strength > STRENGTHS[0]
    assert model.score(told, labels) > 0.8
