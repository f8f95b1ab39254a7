"""`python -m training.autoencoder`, on some drawings: it learns, repeats, resumes, and keeps each image's row."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image

from tests.drawings import drawing, encoded, write_folder
from tests.training.silent import Silent
from training.autoencoder.examples import path_of
from training.autoencoder.fit import AutoencoderFit, AutoencoderSettings
from training.autoencoder.job import main
from training.loop.compute import Compute
from training.loop.run_folder import AutoencoderRun
from training.networks.autoencoder import Autoencoder, AutoencoderSpec, Measured, errors

SMALL = ["--size", "16", "--latent", "8", "--width", "8", "--workers", "0", "--device", "cpu"]
SPEC = AutoencoderSpec(size=16, latent=8, width=8)


def blobs(count: int) -> NDArray[np.uint8]:
    """Two levels of grey each."""
    rng = np.random.default_rng(0)
    images = np.zeros((count, 16, 16, 3), np.uint8)
    for image in images:
        image[:] = rng.integers(0, 256)
        image[:, 8:] = rng.integers(0, 256)
    return images


def fit(images: NDArray[np.uint8], epochs: int, folder: Path | None = None, val: int = 8) -> AutoencoderFit:
    torch.manual_seed(0)
    rows = range(len(images))
    return AutoencoderFit(
        Autoencoder(SPEC),
        images,
        rows[val:],
        rows[:val],
        AutoencoderSettings(epochs=epochs, batch_size=8),
        compute=Compute(),
        watcher=Silent(),
        folder=folder,
    )


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    files = {f"{i:02}.png": encoded(drawing(i)) for i in range(40)}
    return write_folder(tmp_path_factory.mktemp("photos"), files | {"broken.png": b"not a picture"})


def test_it_learns_to_draw_again() -> None:
    images = blobs(72)
    epochs = fit(images, 40).run()
    assert epochs[-1].val_l1 < 0.5 * epochs[0].val_l1
    assert epochs[-1].val_ssim > epochs[0].val_ssim


def test_the_latent_learns_classes_where_targets_say_them() -> None:
    images = blobs(72)
    bright = (images[:, 0, 0, 0] > 127).astype(np.int64)  # of the left half
    targets = np.eye(2, dtype=np.float32)[bright]
    torch.manual_seed(0)
    one = AutoencoderFit(
        Autoencoder(SPEC),
        images,
        range(8, 72),
        range(8),
        AutoencoderSettings(epochs=40, batch_size=8, class_weight=1, mirrored=False),
        compute=Compute(),
        watcher=Silent(),
        targets=targets,
    )
    epochs = one.run()
    assert epochs[-1].val_accuracy is not None
    assert epochs[-1].val_accuracy >= 0.75
    assert min(epoch.val_loss for epoch in epochs) < epochs[0].val_loss
    # The first numbers of the latent tell the classes.
    whole = one.measure().latent[:, : SPEC.global_latent]
    centres = np.stack([whole[bright == label].mean(0) for label in (0, 1)])
    said = np.linalg.norm(whole[:, None] - centres[None], axis=2).argmin(1)
    assert (said == bright).mean() > 0.85
    assert [epoch.val_accuracy for epoch in fit(images, 1).run()] == [None]  # without targets


def test_the_bottleneck_is_all_that_the_decoder_sees() -> None:
    network = Autoencoder(SPEC).eval()
    pixels = torch.rand(3, 3, 16, 16)
    found = network(pixels)
    assert found.latent.shape == (3, 8)
    assert ((found.latent >= 0) & (found.latent <= 1)).all()
    assert torch.equal(network.decoder(found.latent), found.pixels)


def test_errors_by_hand() -> None:
    black, grey = torch.zeros(2, 3, 16, 16), torch.full((2, 3, 16, 16), 0.25)
    found = errors(grey, black)
    assert found.l1.tolist() == [0.25, 0.25]
    assert found.ssim.tolist() == pytest.approx([1e-4 / (0.0625 + 1e-4)] * 2, rel=1e-3)


def test_what_is_exported_measures_uint8_images() -> None:
    network = Autoencoder(SPEC).eval()
    images = blobs(3)
    with torch.no_grad():
        latent, found = Measured(network)(torch.from_numpy(images))
        pixels = torch.from_numpy(images.transpose(0, 3, 1, 2).copy()).float() / 255
        made = network(pixels)
    l1, ssim = errors(made.pixels, pixels)
    torch.testing.assert_close(latent, made.latent)
    torch.testing.assert_close(found, torch.stack([l1, 1 - ssim], 1))


def test_the_best_epoch_is_kept_and_the_last_where_nothing_judges() -> None:
    images = blobs(24)
    one = fit(images, 6)
    epochs = one.run()
    best = min(epochs, key=lambda epoch: epoch.val_l1)
    assert [epoch.best for epoch in epochs].count(True) >= 1
    assert one.measure().l1[:8].mean() == pytest.approx(best.val_l1, rel=1e-5)
    assert all(epoch.best for epoch in fit(images, 2, val=0).run())


@pytest.mark.parametrize("stop_at", [(0, 1), (1, 2), (1, 3)])  # the last behind an epoch's last step
def test_a_training_that_was_stopped_goes_on_exactly(tmp_path: Path, stop_at: tuple[int, int]) -> None:
    images = blobs(32)
    whole = fit(images, 3)
    epochs = whole.run()
    fit(images, 3, tmp_path).run(stop=lambda epoch, step: (epoch, step) == stop_at)
    again = fit(images, 3, tmp_path)
    assert [replace(one, seconds=0) for one in again.run()] == [replace(one, seconds=0) for one in epochs]
    for name, value in whole.network.state_dict().items():
        torch.testing.assert_close(again.network.state_dict()[name], value, rtol=0, atol=0)


def test_mirroring_is_drawn_for_half_of_the_images() -> None:
    one = fit(blobs(408), 1)
    images = one.images
    mirrored = sum(not np.array_equal(one._view(row, 0), images[row]) for row in range(408))
    assert 150 < mirrored < 250
    one.settings = one.settings.model_copy(update={"mirrored": False})
    assert all(np.array_equal(one._view(row, 0), images[row]) for row in range(408))


def test_a_last_batch_of_one_is_left_out() -> None:
    assert [len(rows) for rows in fit(blobs(25), 1).plan(0)] == [8, 8]


def test_the_command(photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["--data", str(photos), "--name", "mine", "--runs", str(tmp_path), "--epochs", "2", *SMALL]
    assert main(arguments) == 0
    told = capsys.readouterr()
    assert "skipped broken.png" in told.err
    assert "L1 of reconstructions" in told.out
    folder = tmp_path / "mine"
    run = AutoencoderRun.model_validate_json((folder / "run.json").read_bytes())
    assert run.network == SPEC
    assert {metric.split for metric in run.metrics} == {"val", "test"}
    counts = run.data.images
    for epoch in range(2):
        rows = pq.read_table(path_of(folder, epoch)).to_pylist()
        assert len(rows) == counts["train"] + counts["val"]
        assert {row["split"] for row in rows} == {"train", "val"}
        assert all(len(row["latent"]) == 8 and 0 < row["l1"] < 1 for row in rows)
    val = [row["l1"] for row in rows if row["split"] == "val"]
    best = next(metric for metric in run.metrics if metric.split == "val")
    if best.value == pytest.approx(np.mean(val), abs=1e-5):  # the last epoch was the best
        assert best.n == len(val)
    with Image.open(folder / "reconstructions_002.png") as picture:
        assert picture.height == 2 * 16 * 2
    assert main(arguments) == 2
    assert "holds a finished training" in capsys.readouterr().err


@pytest.mark.parametrize(("classes", "networks"), [("references", 2), ("labels", 0), ("ignored", 0)])
def test_classes_are_learned_from_reference_networks_from_labels_or_not(
    classes: str, networks: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    files = {f"{label}/{i:02}.png": encoded(drawing(i + 40 * (label == "b"))) for label in "ab" for i in range(20)}
    folder = write_folder(tmp_path / "classes", files)
    more = ["--classes", classes, "--seeds", "1", "--reference-epochs", "1", "--reference-size", "16", "--epochs", "1"]
    assert main(["--data", str(folder), "--name", "mine", "--runs", str(tmp_path), *more, *SMALL]) == 0
    told = capsys.readouterr().err
    assert ("  accuracy 0." in told or "  accuracy 1." in told) == (classes != "ignored")
    assert len(list((tmp_path / "references").glob("reference_0_*"))) == networks


def test_images_whose_classes_are_none_are_learned_without(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    photos = write_folder(tmp_path / "photos", {f"cat/{i:02}.png": encoded(drawing(i)) for i in range(20)})
    assert main(["--data", str(photos), "--name", "mine", "--runs", str(tmp_path), "--epochs", "1", *SMALL]) == 0
    told = capsys.readouterr().err
    assert "photos: the latent learns from pixels alone." in told
    assert "accuracy" not in told


def test_the_same_seed_gives_the_same_weights(photos: Path, tmp_path: Path) -> None:
    for name in ("one", "two"):
        assert main(["--data", str(photos), "--name", name, "--runs", str(tmp_path), "--epochs", "1", *SMALL]) == 0
    one, two = (torch.load(tmp_path / name / "best.pt", weights_only=True) for name in ("one", "two"))
    assert all(torch.equal(one[key], two[key]) for key in one)


def test_grey_images_and_a_test_split_that_is_left_alone(
    photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    more = ["--colour", "grey", "--skip-test", "--epochs", "1"]
    assert main(["--data", str(photos), "--name", "grey", "--runs", str(tmp_path), *more, *SMALL]) == 0
    assert "test (n" not in capsys.readouterr().out
    assert np.load(tmp_path / "grey" / "pixels.npy", mmap_mode="r").shape[-1] == 1
    with Image.open(tmp_path / "grey" / "reconstructions_001.png") as picture:
        assert picture.mode == "L"


@pytest.mark.parametrize("wrong", [["--size", "20"], ["--latent", "0"], ["--size", "0"], ["--epochs", "0"]])
def test_nonsense_is_refused(wrong: list[str], photos: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--data", str(photos), "--name", "mine", *wrong])
    assert "error" in capsys.readouterr().err


def test_one_image_is_too_few(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    photos = write_folder(tmp_path / "photos", {"one.png": encoded(drawing(1))})
    assert main(["--data", str(photos), "--name", "mine", "--runs", str(tmp_path), *SMALL]) == 2
    assert "it needs two and one at least. About 50 images are enough" in capsys.readouterr().err
