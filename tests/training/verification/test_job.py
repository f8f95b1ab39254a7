"""`python -m training.verification`: from photos and an exported embedder to one that verifies."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from phototriage.common.errors import ForeignEmbedding
from phototriage.model_folder import manifest
from phototriage.models.embedder import Embedder
from phototriage.models.loading import load_embedder
from phototriage.settings import Settings
from phototriage.triage.comparison import decode_embedding, judge
from phototriage.triage.embedding import EmbeddedImage, encode
from phototriage.triage.responses import name_of
from phototriage.verification.signature import signature_of
from tests.drawings import drawing, encoded, write_folder
from tests.tiny_models import write_embedder
from tests.verification.photos import drawn_photo
from training.drawings import KINDS
from training.verification import job, pairs
from training.verification.job import main


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    files = {f"{i:02}.jpg": encoded(drawing(i, (96, 72)), "JPEG", quality=90) for i in range(16)}
    return write_folder(tmp_path_factory.mktemp("my_photos"), files)


TWO_KINDS = {kind: KINDS[kind] for kind in ("logo", "receipt")}  # drawings take most of the time


@pytest.fixture(scope="module")
def folders(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, manifest.Manifest]:
    """The models and runs directories with a verifying embedder, and its manifest before."""
    models, runs = tmp_path_factory.mktemp("models"), tmp_path_factory.mktemp("runs")
    write_embedder(models / "tiny_embedder")
    before = manifest.read(models / "tiny_embedder")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pairs, "KINDS", TWO_KINDS)
        assert main(arguments(photos, models, runs)) == 0
    return models, runs, before


def arguments(photos: Path, models: Path, runs: Path) -> list[str]:
    given = ["--data", str(photos), "--embedder", "tiny_embedder", "--models", str(models), "--runs", str(runs)]
    return [*given, "--val-keys", r"/0[0-7]\.", "--photos", "8", "--val-photos", "8", "--quick"]


def image_of(model: Embedder, pixels: NDArray[np.uint8]) -> EmbeddedImage:
    side = model.manifest.input.height
    return EmbeddedImage(model.embed(np.full((1, side, side, 3), 9, np.uint8))[0], signature_of(pixels))


def test_the_embedder_verifies_and_its_embeddings_stay_valid(
    folders: tuple[Path, Path, manifest.Manifest],
) -> None:
    models, _, before = folders
    model = load_embedder(models / "tiny_embedder", Settings(provider="cpu"))
    config = model.manifest.verification
    assert config is not None
    assert model.manifest.version != before.version
    assert model.manifest.same_embeddings_as == (before.version,)
    assert config.command is not None
    assert config.command.startswith("python -m training.verification --data ")
    assert "--models" not in config.command  # nor other folders of this machine
    assert str(models.parent) not in config.command
    assert {kind.kind for kind in config.held_out} == {
        *("everyday", "hard", "turned", "on a page", "in a drawing", "moved", "logo", "receipt")
    }
    photo, other = drawn_photo(3, 240, 320), drawn_photo(4, 240, 320)
    a, crop, b = (image_of(model, pixels) for pixels in (photo, photo[20:220, 30:300], other))
    assert judge(model, a, crop).answer.decision == "duplicate"
    assert judge(model, a, b).answer.decision == "not_duplicate"
    kept = encode(a.vector, name_of(model).model_copy(update={"version": before.version}))
    assert decode_embedding(model, kept.model_dump_json().encode()).signature is None
    with pytest.raises(ForeignEmbedding, match="version 'abc'"):
        decode_embedding(model, kept.model_copy(update={"version": "abc"}).model_dump_json().encode())


def test_it_goes_on_from_what_was_measured(
    folders: tuple[Path, Path, manifest.Manifest], photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    models, runs, before = folders
    first = manifest.read(models / "tiny_embedder")
    monkeypatch.setattr(job, "labelled", None)  # nothing is measured again
    assert main([*arguments(photos, models, runs), "--aim", "precision=0.9"]) == 0
    again = manifest.read(models / "tiny_embedder")
    assert again.files == first.files
    assert again.same_embeddings_as == (before.version, first.version)


def test_an_aim_that_is_none_is_told(photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_embedder(tmp_path / "tiny_embedder")
    assert main([*arguments(photos, tmp_path, tmp_path), "--aim", "recall"]) == 2
    assert "nothing was written: The aim is 'recall'" in capsys.readouterr().err
