"""What an embedder trains on: photos beside their hard negatives, each in several views, some under one overlay."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.utils.data import DataLoader
from torch.utils.data import Dataset as TorchDataset

from phototriage.duplicates import layout
from phototriage.images.input_config import InputConfig
from phototriage.images.pixels import resize
from training.data.batches import to_pixels
from training.data.photos import Photos
from training.featout.featout import evaluation_mode
from training.loop.compute import Compute
from training.pairs.labelled_pairs import Shot
from training.reposts.chains import Rng, Step, Steps, draw_everyday, draw_hard, draw_shared_overlay, draw_step

VIEWS = 3  # of a photo in a batch: nearly as it is, an everyday repost, a hard one
UNTOUCHED = 0.5  # share of the first views that are the photo itself
MIRRORED = 0.1  # share of the other views that are mirrored beside all else
SHARED = 0.4  # share of the pairs whose hard views wear one overlay
# A neighbour that is this similar to a photo may be the same photo, which no hash has found: it is no negative.
GUARD = 0.97


def plan_epoch(
    numbers: Sequence[int],
    groups: NDArray[np.int64],
    neighbours: NDArray[np.int64],
    pairs: int,
    seed: tuple[int, int],
) -> list[list[Shot]]:
    """The batches of an epoch, each of `pairs` × 2 photos × VIEWS shots, photo by photo.

    numbers: the photos to begin a pair with; one may occur several times. groups (N,) of all photos.
    neighbours (N, k): for each photo those that look like it, −1 where there are fewer. No batch has two photos of
    one group. Depends on its arguments alone.
    """
    rng = np.random.default_rng(seed)
    batches = []
    waiting = [numbers[i] for i in rng.permutation(len(numbers))]
    while waiting:
        taken: set[int] = set()
        batch: list[Shot] = []
        later = []
        while waiting and len(batch) < pairs * 2 * VIEWS:
            number = waiting.pop()
            if int(groups[number]) in taken:
                later.append(number)
                continue
            other = _partner(number, groups, neighbours, taken, numbers, rng)
            if other is None:
                continue
            taken |= {int(groups[number]), int(groups[other])}
            batch += _views_of_pair(number, other, rng)
        waiting += later
        if len(batch) < pairs * 2 * VIEWS:
            break  # the few that are left come in another epoch
        batches.append(batch)
    return batches


def _partner(
    number: int,
    groups: NDArray[np.int64],
    neighbours: NDArray[np.int64],
    taken: set[int],
    numbers: Sequence[int],
    rng: Rng,
) -> int | None:
    """A hard negative of the photo or, where all are in the batch, any photo."""
    forbidden = taken | {int(groups[number])}
    for other in (*rng.permutation(neighbours[number]), *rng.choice(np.asarray(numbers), 20)):
        if other >= 0 and int(groups[other]) not in forbidden:
            return int(other)
    return None


def _views_of_pair(number: int, other: int, rng: Rng) -> list[Shot]:
    worn = draw_shared_overlay(rng) if rng.random() < SHARED else None
    return [Shot(one, steps) for one in (number, other) for steps in _views(worn, rng)]


def _views(worn: Step | None, rng: Rng) -> tuple[Steps, Steps, Steps]:
    plain: Steps = () if rng.random() < UNTOUCHED else (draw_step(rng, ("jpeg", "webp", "downscale"), 0, 0.5),)
    everyday, hard = draw_everyday(rng), draw_hard(rng)
    if worn is not None:
        # Beside the overlay something mild, so that it isn't the overlay alone that is common to the two.
        hard = (*draw_everyday(rng), worn) if rng.random() < 0.5 else (worn,)
    return plain, _perhaps_mirrored(everyday, rng), _perhaps_mirrored(hard, rng)


def _perhaps_mirrored(steps: Steps, rng: Rng) -> Steps:
    return (draw_step(rng, ("mirror",), 0, 1), *steps) if rng.random() < MIRRORED else steps


@dataclass(frozen=True)
class _Shots(TorchDataset[Tensor]):
    photos: Photos
    shots: Sequence[Shot]
    rule: InputConfig

    def __len__(self) -> int:
        return len(self.shots)

    def __getitem__(self, place: int) -> Tensor:
        pixels = resize(self.shots[place].of(self.photos), self.rule).pixels
        return torch.from_numpy(pixels.transpose(2, 0, 1).copy())


def shot_batches(
    photos: Photos, shots: Sequence[Shot], rule: InputConfig, *, batch_size: int, workers: int
) -> Iterator[Tensor]:
    """uint8 (n, 3, H, W) pixels of the shots in their order, resized as in serving."""
    yield from DataLoader(_Shots(photos, shots, rule), batch_size=batch_size, num_workers=workers)


def outputs_for(
    network: nn.Module,
    answer: Callable[[Tensor], Tensor],
    photos: Photos,
    shots: Sequence[Shot],
    rule: InputConfig,
    compute: Compute,
    *,
    with_layout: bool = False,
) -> NDArray[np.float32]:
    """What `answer`, the network or a part of it in evaluation mode, gives for the shots: (n, K), and behind it their
    layout, as serving puts it, if that is wanted."""
    batches = shot_batches(photos, shots, rule, batch_size=64, workers=compute.workers)
    with evaluation_mode(network), torch.inference_mode(), compute.precision():
        found = []
        for images in batches:
            rows = answer(to_pixels(images, compute.device)).float().cpu().numpy()
            if with_layout:
                rows = np.hstack([rows, layout.describe(images.permute(0, 2, 3, 1).numpy())])
            found.append(rows)
        return np.concatenate(found)


def nearest(embeddings: NDArray[np.float32], groups: NDArray[np.int64], count: int, guard: float) -> NDArray[np.int64]:
    """(n, count) places of the most similar of other groups and below `guard`, −1 where there are fewer.

    embeddings (n, D) of unit length, in blocks: constant memory beside the result.
    """
    found = np.full((len(embeddings), count), -1, np.int64)
    width = min(count, len(embeddings))
    for start in range(0, len(embeddings), 1024):
        similarity = embeddings[start : start + 1024] @ embeddings.T
        similarity[(groups[start : start + 1024, None] == groups[None]) | (similarity > guard)] = -np.inf
        best = np.argpartition(-similarity, width - 1, axis=1)[:, :width]
        usable = np.isfinite(np.take_along_axis(similarity, best, 1))
        found[start : start + 1024, :width] = np.where(usable, best, -1)
    return found
