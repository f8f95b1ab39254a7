"""Composites of two images, their ceiling, and what a glance at the pixels tells."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import spearmanr

from training.autoencoder.trajectory import Trajectory, metrics, neighbour_distance
from training.data.composites import half, maximum, spearman_ceiling, trivial_features, with_composites


def images(count: int = 60) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    return np.random.default_rng(0).integers(0, 256, (count, 8, 8, 1), np.uint8)


def test_halves_and_maxima_by_hand() -> None:
    left, right = np.full((1, 2, 4, 1), 10, np.uint8), np.full((1, 2, 4, 1), 20, np.uint8)
    assert half(left, right)[0, 0, :, 0].tolist() == [10, 10, 20, 20]
    assert (maximum(left, right) == 20).all()


def test_as_many_mixes_as_make_up_the_prevalence_of_two_different_images() -> None:
    many = images()
    found = with_composites(many, "half", 0.25, np.random.default_rng(1))
    assert found.is_composite.sum() == 20
    assert found.is_composite.mean() == pytest.approx(0.25)
    assert np.array_equal(found.images[:60], many)
    for one in found.images[60:]:
        lefts = [i for i in range(60) if np.array_equal(many[i, :, :4], one[:, :4])]
        rights = [i for i in range(60) if np.array_equal(many[i, :, 4:], one[:, 4:])]
        assert lefts
        assert rights
        assert lefts != rights


def test_the_published_recipe_leaks_through_the_darkest_pixel() -> None:
    many = images()
    many[:, 0, 0] = 0  # a background, as drawings have
    found = with_composites(many, "normalised_sum", 0.25, np.random.default_rng(1))
    darkest = trivial_features(found.images)["minimum"]
    assert (darkest[found.is_composite] < darkest[~found.is_composite].min()).all()


@pytest.mark.parametrize("prevalence", [0.053, 0.5])
def test_no_score_correlates_more_than_the_ceiling(prevalence: float) -> None:
    n = 4000
    label = np.arange(n) < round(prevalence * n)
    perfect = label + np.linspace(0, 0.5, n)
    assert spearmanr(perfect, label).statistic == pytest.approx(spearman_ceiling(prevalence), abs=1e-3)


def test_trivial_features_by_hand() -> None:
    image = np.zeros((1, 2, 2, 1), np.uint8)
    image[0, 0, 0] = 255
    found = {name: values[0] for name, values in trivial_features(image).items()}
    assert found["mean"] == 0.25
    assert (found["minimum"], found["maximum"]) == (0, 1)
    assert found["share of black"] == 0.75
    assert (found["steps between rows"], found["steps between columns"]) == (0.5, 0.5)


def test_trajectory_metrics_by_hand() -> None:
    rng = np.random.default_rng(0)
    loss = np.zeros((3, 80), np.float32)
    loss[:, 0] = [0.5, 0.3, 0.2]
    latent = rng.random((80, 4)).astype(np.float32)
    latent[1] = 0.5
    found = metrics(Trajectory(loss, np.full(80, 0.25, np.float32), latent), np.arange(80))
    assert found["loss_last"][0] == pytest.approx(0.2)
    assert found["loss_mean_from_N"][0] == pytest.approx(0.25)
    assert found["loss_diff_last_N"][0] == pytest.approx(0.1)
    assert found["dissimilarity"][0] == pytest.approx(0.75)
    assert found["H"][1] == pytest.approx(1)
    assert all(values.shape == (80,) and np.isfinite(values).all() for values in found.values())


def test_neighbours_are_others() -> None:
    latent = np.array([*np.arange(12.0), 11.5])[:, None]
    # 0 is among the known: its ten nearest are 1 to 10. 11.5 isn't: 11 and nine below.
    found = neighbour_distance(latent, np.arange(12))
    assert found[[0, 12]] == pytest.approx([5.5, 5.0])


def test_no_image_is_its_own_neighbour_in_many_dimensions() -> None:
    # Above 15 dimensions scikit-learn computes distances in a way that leaves a rest for equal points.
    latent = np.random.default_rng(0).random((300, 16))
    found = neighbour_distance(latent, np.arange(300))
    exact = np.linalg.norm(latent[:, None] - latent[None], axis=2)
    np.fill_diagonal(exact, np.inf)
    assert found == pytest.approx(np.sort(exact, axis=1)[:, :10].mean(1), rel=1e-5)


def test_local_dimension_of_a_plane_is_about_two() -> None:
    rng = np.random.default_rng(0)
    plane = rng.random((400, 2)) @ rng.random((2, 6))
    loss = np.zeros((2, 400), np.float32)
    found = metrics(Trajectory(loss, loss[0], plane.astype(np.float32)), np.arange(400))
    assert np.median(found["LID"]) == pytest.approx(2, abs=0.6)
