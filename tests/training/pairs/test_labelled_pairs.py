"""Photos, what happens to them, the pairs that an embedder is measured on, and the batches that it learns from."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import ImageOps

from tests.drawings import drawing, encoded, write_folder
from training.data.photos import Photos, load_photos
from training.embedder.losses import EmbeddingLoss, differential_entropy_loss
from training.embedder.views import VIEWS, nearest, plan_epoch
from training.networks.embedder import discriminant, generalised_mean
from training.pairs.labelled_pairs import (
    HARD_NEGATIVE,
    SHARED,
    SHARED_PAIRS,
    Neighbours,
    Shot,
    dhash,
    everyday_pairs,
    hard_pairs,
)
from training.reposts.chains import EVERYDAY, HARD, Step, repost
from training.sources.files import DataError

PHOTOS = 12


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Twelve photos, of which 10 is 11 mirrored; and three of another source."""
    root = tmp_path_factory.mktemp("photos")
    files = {f"{i:02}.png": encoded(drawing(i)) for i in range(PHOTOS - 1)}
    files["11.png"] = encoded(ImageOps.mirror(drawing(10)))
    return (
        write_folder(root / "rooms", files),
        write_folder(root / "others", {f"{i}.png": encoded(drawing(50 + i)) for i in range(3)}),
    )


def load(folders: tuple[Path, ...], **options: str) -> Photos:
    return load_photos(folders, progress=False, **options)


def test_places_follow_the_patterns_and_groups_stay_together(folders: tuple[Path, Path]) -> None:
    found = load(folders, val_keys=r"^rooms/0[0-3]", leave_out=r"^rooms/11|^others/2")
    places = {photo.key: photo.place for photo in found.photos}
    assert places["rooms/03.png"] == "val"
    assert places["rooms/04.png"] == places["others/0.png"] == "train"
    assert places["others/2.png"] == places["rooms/11.png"] == "left out"
    assert places["rooms/10.png"] == "left out"  # it is 11, mirrored
    groups = found.groups
    assert groups[10] == groups[11]
    assert len(set(groups)) == len(found) - 1
    assert found.image(12).size == (64, 48)
    assert found.name == "rooms+others"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"val_keys": "("}, "no regular expression"),
        ({"val_keys": "nothing"}, "two or more to validate on"),
        ({"val_keys": "."}, "photos to train on"),
    ],
)
def test_places_that_leave_nothing_are_refused(
    folders: tuple[Path, Path], options: dict[str, str], message: str
) -> None:
    with pytest.raises(DataError, match=message):
        load(folders, **options)


def test_two_sources_of_one_name_are_refused(folders: tuple[Path, Path]) -> None:
    with pytest.raises(DataError, match="one name"):
        load((folders[0], folders[0]), val_keys="00|01")


def test_steps_are_done_in_order_each_by_its_seed() -> None:
    photo = drawing(1)
    mirrored = repost(photo, (Step("mirror", 0.5, 1),))
    assert mirrored.tobytes() == ImageOps.mirror(photo).tobytes()
    steps = (Step("crop", 0.5, 3), Step("jpeg", 0.5, 4))
    assert repost(photo, steps).tobytes() == repost(photo, steps).tobytes()
    assert repost(photo, steps).tobytes() == repost(repost(photo, steps[:1]), steps[1:]).tobytes()


@pytest.mark.parametrize("kinds", [EVERYDAY, HARD])
def test_every_kind_of_repost_changes_the_photo(kinds: dict[str, object]) -> None:
    photo = drawing(2, (96, 64))
    for name, draw in kinds.items():
        steps = draw(np.random.default_rng(5))  # type: ignore[operator]
        assert repost(photo, steps).tobytes() != photo.tobytes(), name


@pytest.fixture
def neighbours() -> Neighbours:
    """Photos 0 to 7 on a line; 0 and 1 are one group; 6 and 7 are of another kind."""
    places = np.arange(8)
    features = np.stack([np.cos(places / 10), np.sin(places / 10)], 1).astype(np.float32)
    groups = np.array([0, 0, 2, 3, 4, 5, 6, 7])
    hashes = (1 << (places * 4)).astype(np.uint64)
    hashes[5] = hashes[2]
    return Neighbours(list(range(8)), groups, ["room"] * 6 + ["front"] * 2, features, hashes)


def test_neighbours_are_the_nearest_of_another_group_and_the_same_kind(neighbours: Neighbours) -> None:
    assert neighbours.of(0, 2, 0) == [2, 3]  # not 1, which is its own group
    assert neighbours.of(2, 1, 1) == [1, 5]  # by hash 5 is the same
    assert neighbours.of(6) == [7]
    assert neighbours.strangers(0) == [2, 3, 4, 5, 6, 7]


def test_everyday_pairs_are_what_the_benchmark_says(neighbours: Neighbours) -> None:
    pairs = everyday_pairs([0, 2, 3], neighbours, seed=4)
    kinds = Counter(pair.kind for pair in pairs if not pair.same)
    assert sum(pair.same for pair in pairs) == 9
    assert kinds[HARD_NEGATIVE] == 12
    assert kinds["hard negative, edited"] == kinds["random"] == 3
    assert kinds[SHARED] == min(3, SHARED_PAIRS)
    assert all((pair.left.photo == pair.right.photo) == pair.same for pair in pairs)
    worn = [pair for pair in pairs if pair.kind == SHARED]
    assert all(pair.left.steps == pair.right.steps != () for pair in worn)
    assert pairs == everyday_pairs([0, 2, 3], neighbours, seed=4)
    assert pairs != everyday_pairs([0, 2, 3], neighbours, seed=5)


def test_hard_pairs_are_what_the_benchmark_says(neighbours: Neighbours) -> None:
    pairs = hard_pairs([0, 2, 3, 4], neighbours, seed=4)
    assert sum(pair.same for pair in pairs) == 8
    assert Counter(pair.kind for pair in pairs if not pair.same) == {HARD_NEGATIVE: 8, SHARED: 4}
    assert {pair.kind for pair in pairs if pair.same} <= HARD.keys()


def test_dhash_reads_whether_brightness_rises() -> None:
    rising = np.tile(np.arange(9, dtype=np.uint8) * 20, (8, 1))
    from PIL import Image

    assert dhash(Image.fromarray(rising)) == 2**64 - 1
    assert dhash(Image.fromarray(rising[:, ::-1].copy())) == 0


def test_nearest_leaves_out_the_own_group_and_what_may_be_the_same_photo() -> None:
    embeddings = np.array([[1, 0], [0.999, 0.0447], [0.8, 0.6], [0, 1]], np.float32)
    found = nearest(embeddings, np.array([0, 1, 2, 3]), 3, guard=0.97)
    assert found[0].tolist() in ([2, 3, -1], [3, 2, -1])  # 1 is guarded
    assert set(nearest(embeddings, np.array([0, 0, 2, 3]), 2, guard=1.0)[0]) == {2, 3}
    assert nearest(embeddings[:1], np.array([0]), 2, guard=1.0).tolist() == [[-1, -1]]


def test_an_epoch_is_planned_in_pairs_of_different_groups() -> None:
    groups = np.arange(40) // 2
    table = np.tile(np.arange(40), (40, 1))
    plan = plan_epoch(list(range(40)), groups, table, pairs=3, seed=(0, 1))
    assert plan == plan_epoch(list(range(40)), groups, table, pairs=3, seed=(0, 1))
    assert len(plan) > 5
    for batch in plan:
        assert len(batch) == 3 * 2 * VIEWS
        photos = [shot.photo for shot in batch[::VIEWS]]
        assert [shot.photo for shot in batch] == [photo for photo in photos for _ in range(VIEWS)]
        assert len({groups[photo] for photo in photos}) == 6
    shots = [shot for batch in plan for shot in batch]
    worn = Counter(step for shot in shots for step in shot.steps)
    assert max(worn.values()) == 2  # an overlay that two photos share
    assert Shot(shots[0].photo) in shots or any(not shot.steps for shot in shots)


def test_generalised_mean_of_a_map_worked_by_hand() -> None:
    maps = torch.tensor([[[[1.0, -5.0], [2.0, 3.0]]]])
    assert generalised_mean(maps).item() == pytest.approx(((1 + 0 + 8 + 27) / 4) ** (1 / 3), rel=1e-5)


def test_the_discriminant_ignores_what_reposts_vary() -> None:
    """Photos differ along the first axis; reposts vary the second, much more."""
    rng = np.random.default_rng(0)
    photos = np.stack([rng.normal(0, 1, 200), np.zeros(200), rng.normal(0, 0.01, 200)], 1)
    views = np.repeat(photos[:, None], 4, 1)
    views[:, :, 1] += rng.normal(0, 20, (200, 4))
    views[:, :, 0] += rng.normal(0, 0.01, (200, 4))
    weights, bias = discriminant(views.astype(np.float32), 1, shrinkage=1e-6)
    assert abs(weights[0, 0]) > 50 * abs(weights[0, 1])
    assert (views.mean((0, 1)) @ weights.T + bias) == pytest.approx([0], abs=1e-4)


def loss(**options: float) -> EmbeddingLoss:
    settings = {"memory": 8, "temperature": 0.1, "entropy": 0.0, "margin": 0.3} | options
    return EmbeddingLoss(2, **settings)  # type: ignore[arg-type]


def test_the_triplet_loss_has_the_right_sign() -> None:
    """Cosine distances: anchor–positive 0, anchor–negative 1; −1 + .3 is below 0. The other way round: 1.3."""
    embeddings = torch.tensor([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0], [0.0, 1.0]])
    groups = torch.tensor([0, 0, 1, 1])
    assert loss()("triplet", embeddings, groups).item() == pytest.approx(0, abs=1e-6)
    assert loss()("triplet", embeddings, torch.tensor([0, 1, 0, 1])).item() == pytest.approx(1.3, abs=1e-6)


def test_contrast_is_the_cross_entropy_of_the_positive() -> None:
    embeddings = torch.tensor([[1.0, 0.0], [0.6, 0.8], [0.0, 1.0], [0.0, -1.0]])
    groups = torch.tensor([0, 0, 1, 2])
    similarity = embeddings @ embeddings.T / 0.1
    others = similarity.masked_fill(torch.eye(4, dtype=torch.bool), -torch.inf).log_softmax(1)
    expected = -(others[0, 1] + others[1, 0]) / 2  # the others have no positive
    assert loss()("contrast", embeddings, groups).item() == pytest.approx(expected.item(), rel=1e-5)


def test_the_memory_gives_negatives_of_earlier_batches() -> None:
    contrast = loss()
    first = torch.tensor([[1.0, 0.0], [1.0, 0.0]])
    alone = contrast("contrast", first, torch.tensor([0, 0])).item()
    again = contrast("contrast", first, torch.tensor([1, 1])).item()
    assert alone == pytest.approx(0, abs=1e-5)
    assert again == pytest.approx(np.log(3), rel=1e-4)  # one positive among three that are equally near


def test_entropy_pushes_the_nearest_stranger_away() -> None:
    embeddings = torch.tensor([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]], requires_grad=True)
    groups = torch.tensor([0, 0, 1])
    value = differential_entropy_loss(embeddings, groups)
    assert value.item() == pytest.approx(-0.5 * np.log(2), rel=1e-5)  # all nearest strangers are √2 away
    (gradient,) = torch.autograd.grad(value, embeddings)
    assert gradient[2, 0] > 0  # less of the first axis, where the others are
