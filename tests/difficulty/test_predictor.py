"""Scores, percentiles, reasons and scales, worked out by hand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from phototriage.common.errors import ModelFolderError
from phototriage.difficulty import predictor
from phototriage.difficulty.config import FILE_NAME, MAX_DEVIATIONS, DifficultyConfig, Formula, SignalWeight
from phototriage.difficulty.predictor import MISLABELLED, SCALES, STEPS, Difficulty, log_odds_of
from phototriage.difficulty.signals import SIGNALS, Reconstruction, SignalInputs
from tests.scored_models import CENTRES, LATENT_MAP, difficulty_config, scales


def inputs(count: int = 1, **changes: Any) -> SignalInputs:
    """Images that nothing is remarkable about: logits of the first class, latents at its centre, grey pixels."""
    fields: dict[str, Any] = {
        "logits": np.tile(np.array([9.0, 0, 0], np.float32), (count, 1)),
        "pixels": np.full((count, 8, 8, 3), 102, np.uint8),
        "smallest_side": np.full(count, 300),
    }
    drawn = {
        "latent": np.tile(CENTRES[:1], (count, 1)),
        "l1": np.full(count, 0.1, np.float32),
        "dissimilarity": np.full(count, 0.5, np.float32),
    }
    drawn |= {name: changes.pop(name) for name in list(changes) if name in drawn}
    return SignalInputs(**({"reconstruction": Reconstruction(**drawn)} | fields | changes))


def scored(**changes: Any) -> Difficulty:
    return Difficulty(difficulty_config("1", **changes), LATENT_MAP, scales())


def test_the_score_is_a_logistic_function_of_weighted_signals() -> None:
    (prediction,) = scored().predict(inputs())
    assert prediction.score == pytest.approx(1 / (1 + np.exp(-4 * 0.4)))  # brightness 102 / 255
    weights = {
        "darkness": SignalWeight(mean=-0.5, deviation=0.05, weight=2),
        "reconstruction_l1": SignalWeight(mean=0, deviation=0.1, weight=-1),
    }
    (prediction,) = scored(formula=Formula(weights=weights, intercept=0.5)).predict(inputs())
    assert prediction.score == pytest.approx(1 / (1 + np.exp(-(0.5 + 2 * 2 - 1))))


def test_configs_can_be_compared_after_they_have_predicted() -> None:
    weights = {
        "darkness": SignalWeight(mean=0, deviation=1, weight=-4),
        "blur": SignalWeight(mean=0, deviation=1, weight=1),
    }
    one, other = (scored(formula=Formula(weights=weights, intercept=0.5)) for _ in range(2))
    assert one.predict(inputs()) == other.predict(inputs())
    assert one.config == other.config


def test_no_signal_counts_for_more_than_some_deviations() -> None:
    weights = {"reconstruction_l1": SignalWeight(mean=0, deviation=0.001, weight=1)}
    (prediction,) = scored(formula=Formula(weights=weights, intercept=0)).predict(inputs())
    assert prediction.score == pytest.approx(1 / (1 + np.exp(-MAX_DEVIATIONS)))


def test_review_from_the_threshold_on() -> None:
    (prediction,) = scored().predict(inputs())
    assert not prediction.review
    (again,) = scored(review_from=prediction.score).predict(inputs())
    assert again.review


def test_percentiles_are_places_on_the_scales() -> None:
    one = scored()
    assert one.percentile("blur", np.array([-1000.0, 0, 1000])).tolist() == [0, 50, 100]
    assert one.percentile("blur", np.array([80.0])) == pytest.approx(90, abs=0.2)
    flat = Difficulty(one.config, LATENT_MAP, scales() | {"blur": np.zeros(STEPS, np.float32)})
    assert flat.percentile("blur", np.array([-1.0, 0, 1])).tolist() == [50, 50, 50]  # it tells nothing
    half = np.where(np.arange(STEPS) < 250, 0, 1).astype(np.float32)
    steps = Difficulty(one.config, LATENT_MAP, scales() | {"blur": half})
    percentiles = steps.percentile("blur", np.array([-1.0, 0, 0.5, 1, 2]))
    assert percentiles == pytest.approx([0, 25, 50, 75, 100], abs=0.2)  # in the middle of their equals


def test_reasons_are_kinds_of_the_hardest_tenth_with_their_strongest_signal() -> None:
    assert scored().predict(inputs())[0].reasons == []
    # On these scales, from −100 to 100, only the kinds' own scales can be reached: percentiles are about 50.
    low = scales() | {"unusual": np.linspace(0, 40, STEPS).astype(np.float32)}
    (prediction,) = Difficulty(difficulty_config("1"), LATENT_MAP, low).predict(inputs(l1=np.array([3.0])))
    (reason,) = prediction.reasons
    assert (reason.kind, reason.signal, reason.value, reason.percentile) == ("unusual", "reconstruction_l1", 3, 100)
    assert prediction.components.keys() == set(SIGNALS)


def test_a_label_that_the_classifier_does_not_share_is_a_reason() -> None:
    one = scored()
    agreed, denied, silent = one.predict(inputs(3), [0, 2, None])
    assert agreed.reasons == silent.reasons == []
    assert agreed.kinds[MISLABELLED] < 1
    assert MISLABELLED not in silent.kinds
    (reason,) = denied.reasons
    assert reason.kind == MISLABELLED
    assert reason.value == pytest.approx(1 - 1 / (np.exp(9) + 2))
    assert reason.percentile == pytest.approx(100, abs=0.2)


def test_fitted_scales_put_the_images_themselves_evenly() -> None:
    rng = np.random.default_rng(0)
    many = inputs(400, pixels=rng.integers(0, 256, (400, 8, 8, 3), np.uint8), l1=rng.random(400))
    fitted = predictor.fit_scales(difficulty_config("1"), many, LATENT_MAP, [0] * 400)
    predictions = fitted.predict(many, [0] * 400)
    for values in ([one.percentile for one in predictions], [one.kinds["unusual"] for one in predictions]):
        assert np.mean(np.array(values) > 90) == pytest.approx(0.1, abs=0.02)
        assert np.mean(values) == pytest.approx(50, abs=1)


def test_what_is_written_is_read_again(tmp_path: Path) -> None:
    one = scored()
    predictor.write(one, tmp_path)
    read = predictor.read(one.config, tmp_path, 3, 3)
    assert read.predict(inputs()) == one.predict(inputs())
    assert not list(tmp_path.glob("*.part"))


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        ({"blur": np.zeros(3, np.float32)}, "blur is no scale of 501 steps"),
        ({"score": np.linspace(1, 0, STEPS).astype(np.float32)}, "score is no scale"),
        ({"score": np.full(STEPS, np.nan, np.float32)}, "score is no scale"),
    ],
)
def test_scales_that_are_none_are_refused(damage: dict[str, Any], message: str, tmp_path: Path) -> None:
    one = scored()
    predictor.write(Difficulty(one.config, LATENT_MAP, scales() | damage), tmp_path)
    with pytest.raises(ModelFolderError, match=message):
        predictor.read(one.config, tmp_path, 3, 3)


def test_files_of_other_models_and_of_none_are_refused(tmp_path: Path) -> None:
    one = scored()
    with pytest.raises(ModelFolderError, match="can't be read"):
        predictor.read(one.config, tmp_path, 3, 3)
    predictor.write(one, tmp_path)
    with pytest.raises(ModelFolderError, match=r"of shapes \(3, 3\), \(4, 3\); the models have 2 classes"):
        predictor.read(one.config, tmp_path, 2, 3)
    with np.load(tmp_path / FILE_NAME) as file:
        arrays = {name: file[name] for name in (*SCALES, *SIGNALS) if name != "blur"}
    np.savez(tmp_path / FILE_NAME, **arrays)
    with pytest.raises(ModelFolderError, match="can't be read"):
        predictor.read(one.config, tmp_path, 3, 3)
    (tmp_path / FILE_NAME).write_bytes(b"no archive")
    with pytest.raises(ModelFolderError, match="can't be read"):
        predictor.read(one.config, tmp_path, 3, 3)


def test_weights_of_signals_that_are_none_are_refused() -> None:
    with pytest.raises(ValidationError, match="no signals loudness"):
        Formula(weights={"loudness": SignalWeight(mean=0, deviation=1, weight=1)}, intercept=0)
    with pytest.raises(ValidationError):
        Formula(weights={}, intercept=0)


def test_what_a_config_scores_by_is_whole() -> None:
    fields = difficulty_config("1").model_dump()
    DifficultyConfig.model_validate(fields)
    for part in ("autoencoder", "formula", "reference"):
        with pytest.raises(ValidationError, match="belong together"):
            DifficultyConfig.model_validate(fields | {part: None})
    absent = dict.fromkeys(("autoencoder", "autoencoder_version", "formula", "reference"))
    with pytest.raises(ValidationError, match="nothing to score by"):
        DifficultyConfig.model_validate(fields | absent)


def test_sums_are_looked_up_among_knots() -> None:
    knots = ((-1.0, -2.0), (1.0, 0.0), (2.0, 3.0))
    sums = np.array([-11.0, -1, 0, 1, 1.5, 2, 12])
    assert log_odds_of(np.array(knots).T, sums) == pytest.approx([-2.2, -2, -1, 0, 1.5, 3, 3.2])
    assert log_odds_of(np.empty((2, 0)), sums) is sums
    one = SignalWeight(mean=0, deviation=1, weight=1)
    for wrong in (((0, 1), (0, 2)), ((0, 2), (1, 2)), ((0, 2), (1, 1))):
        with pytest.raises(ValidationError, match="don't ascend"):
            Formula(weights={"blur": one}, intercept=0, knots=wrong)
