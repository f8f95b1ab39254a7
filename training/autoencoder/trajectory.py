"""What an autoencoder's training says of each image: numbers from its losses at every epoch and its last latent."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from sklearn.neighbors import NearestNeighbors

from phototriage.difficulty.signals import entropy
from training.autoencoder.fit import Examples, MeasuringWatcher

Floats = NDArray[np.float64]

NEIGHBOURS, LID_NEIGHBOURS = 10, 30


class Trajectory(NamedTuple):
    """loss (T, N): L1 of each image after each epoch; ssim (N,) and latent (N, D) after the last."""

    loss: NDArray[np.float32]
    ssim: NDArray[np.float32]
    latent: NDArray[np.float32]


class Recorder(MeasuringWatcher):
    """Watches an `AutoencoderFit`, and keeps what became of each image."""

    def __init__(self) -> None:
        self.epochs: list[Examples] = []

    def measured(self, epoch: int, examples: Examples) -> None:
        self.epochs.append(examples)

    def trajectory(self) -> Trajectory:
        last = self.epochs[-1]
        return Trajectory(np.stack([examples.l1 for examples in self.epochs]), last.ssim, last.latent)


def metrics(found: Trajectory, known: NDArray[np.int64]) -> dict[str, Floats]:
    """Each (N,) for all images, the higher the more remarkable. `known`: the images that the autoencoder learned from,
    among whose latents the nearest are sought; an image is no neighbour of its own.

    Definitions: loss_last, the last loss; loss_mean_from_N, the mean from the second third of the epochs on;
    loss_diff_last_N, by how much it still fell over the last third; H, entropy of the latent normalised to sum 1;
    LID, local intrinsic dimension of the latents, all together, by TLE (Amsaleg et al. 2019; scikit-dimension) with 30
    neighbours; latent_kNN, mean distance to the 10 nearest latents.
    """
    third = max(1, len(found.loss) // 3)
    loss, latent = found.loss.astype(np.float64), found.latent.astype(np.float64)
    return {
        "loss_last": loss[-1],
        "loss_mean_from_N": loss[third:].mean(0),
        "loss_diff_last_N": loss[-1 - third] - loss[-1] if len(loss) > third else np.zeros(loss.shape[1]),
        "dissimilarity": 1 - found.ssim.astype(np.float64),
        "H": entropy(latent),
        "LID": local_dimension(latent),
        "latent_kNN": neighbour_distance(latent, known),
    }


def neighbour_distance(latent: Floats, known: NDArray[np.int64]) -> Floats:
    """(N,): mean distance of latents (N, D) to the NEIGHBOURS nearest of those at the places `known`, themselves left
    out, by their place: the distance of a point to itself isn't always computed as 0."""
    count = min(NEIGHBOURS + 1, len(known))
    distances, places = NearestNeighbors(n_neighbors=count).fit(latent[known]).kneighbors(latent)
    distances[known[places] == np.arange(len(latent))[:, None]] = np.inf
    nearest = np.sort(distances, axis=1)[:, : count - 1]
    found: Floats = nearest.mean(1)
    return found


def local_dimension(latent: Floats) -> Floats:
    """(N,): of the latents among themselves."""
    import skdim

    estimator = skdim.id.TLE()
    with np.errstate(divide="ignore", invalid="ignore"):  # neighbours in one place or on one line
        found = np.asarray(estimator.fit_transform_pw(latent, n_neighbors=min(LID_NEIGHBOURS, len(latent) - 1)))
    usable = np.isfinite(found)
    kept: Floats = np.where(usable, found, np.median(found[usable]) if usable.any() else 0.0)
    return kept
