from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest

from phototriage.common.errors import ModelFolderError, UnknownModel
from phototriage.model_folder import golden, manifest
from phototriage.model_folder.manifest import Output
from phototriage.models.classifier import Classifier
from phototriage.models.loading import load_model
from phototriage.models.model_set import Models, load_models
from phototriage.settings import Settings
from tests.tiny_models import (
    PEAK,
    SIDE,
    SIDE_LENGTH,
    embedder_golden,
    embedder_graph,
    input_rule,
    tiny_golden,
    tiny_graph,
    write_embedder,
    write_model,
)

IMAGES = np.stack([np.full((SIDE_LENGTH, SIDE_LENGTH, 3), colour, np.uint8) for colour in [(255, 0, 0), (0, 51, 102)]])


def settings_for(directory: Path, **changes: object) -> Settings:
    return Settings(models_directory=directory, threads=1, provider="cpu").model_copy(update=changes)


def test_logits_are_the_mean_colours(models: Models) -> None:
    np.testing.assert_allclose(models.classifier("tiny").logits(IMAGES), [[10, 0, 0], [0, 2, 4]], rtol=1e-6)


def test_explain_gives_logits_and_the_gradient_of_the_weighted_outputs(models: Models) -> None:
    weights = np.array([[1, 0, 0], [0, 2, -1]], np.float32)
    logits, gradient = models.classifier("tiny").explain(IMAGES, weights)
    np.testing.assert_allclose(logits, [[10, 0, 0], [0, 2, 4]], rtol=1e-6)
    assert gradient.shape == IMAGES.shape
    assert gradient[0][PEAK].tolist() == [1, 0, 0]
    assert gradient[1][SIDE].tolist() == [0, 1, -0.5]


def test_the_forward_session_has_no_backward_part(models: Models) -> None:
    forward = models.classifier("tiny").forward_sessions.shared
    assert [each.name for each in forward.get_inputs()] == ["images"]
    assert [each.name for each in forward.get_outputs()] == ["logits"]


def test_a_changed_file_is_named(tmp_path: Path) -> None:
    write_model(tmp_path / "tiny")
    file = tmp_path / "tiny" / "model.onnx"
    file.write_bytes(file.read_bytes() + b"\0")
    with pytest.raises(ModelFolderError, match=r"tiny/model\.onnx has SHA-256"):
        load_models(settings_for(tmp_path))


def test_a_file_that_is_no_model_is_named(tmp_path: Path) -> None:
    folder = tmp_path / "tiny"
    written = write_model(folder)
    (folder / "model.onnx").write_bytes(b"not a model")
    files = {**written.files, "model.onnx": manifest.sha256_of(folder / "model.onnx")}
    manifest.write(written.model_copy(update={"files": files}), folder)
    with pytest.raises(ModelFolderError, match=r"tiny/model\.onnx"):
        load_models(settings_for(tmp_path))


def test_a_manifest_without_the_model_file(tmp_path: Path) -> None:
    write_model(tmp_path / "tiny", files={})
    with pytest.raises(ModelFolderError, match=r"names no model\.onnx"):
        load_models(settings_for(tmp_path))


def test_a_manifest_without_the_golden_vectors(tmp_path: Path) -> None:
    written = write_model(tmp_path / "tiny")
    files = {name: digest for name, digest in written.files.items() if name == "model.onnx"}
    manifest.write(written.model_copy(update={"files": files}), tmp_path / "tiny")
    with pytest.raises(ModelFolderError, match=r"names no golden\.npz"):
        load_models(settings_for(tmp_path))


def test_golden_vectors_that_do_not_repeat(tmp_path: Path) -> None:
    write_model(tmp_path / "tiny", golden_scale=11)
    with pytest.raises(ModelFolderError, match=r"tiny/golden\.npz: logits of the forward graph differ by"):
        load_models(settings_for(tmp_path))


def test_golden_vectors_of_another_size(tmp_path: Path) -> None:
    folder = tmp_path / "tiny"
    written = write_model(folder)
    kept = tiny_golden()
    golden.write(replace(kept, images=kept.images[:, :8]), folder)
    files = {**written.files, "golden.npz": manifest.sha256_of(folder / "golden.npz")}
    manifest.write(written.model_copy(update={"files": files}), folder)
    with pytest.raises(ModelFolderError, match=r"tiny/golden\.npz can't be run"):
        load_models(settings_for(tmp_path))


def test_an_input_of_another_size_is_told(tmp_path: Path) -> None:
    write_model(tmp_path / "tiny", input=input_rule(height=32))
    with pytest.raises(ModelFolderError, match=r"\[16, 16, 3\].*\[32, 16, 3\]"):
        load_models(settings_for(tmp_path))


def test_an_output_that_the_graph_lacks_is_named(tmp_path: Path) -> None:
    outputs = (
        Output(role="logits", name="logits", shape=("N", 3)),
        Output(role="gradient", name="slope", shape=("N", 16, 16, 3)),
    )
    write_model(tmp_path / "tiny", outputs=outputs)
    with pytest.raises(ModelFolderError, match="no output 'slope'"):
        load_models(settings_for(tmp_path))


def test_no_models_at_all(tmp_path: Path) -> None:
    with pytest.raises(ModelFolderError, match="holds no model"):
        load_models(settings_for(tmp_path))
    with pytest.raises(ModelFolderError, match="can't be read: No such file"):
        load_models(settings_for(tmp_path / "missing"))


def test_what_an_export_has_not_finished_is_left_alone(tmp_path: Path) -> None:
    write_model(tmp_path / "tiny")
    (tmp_path / "next.part").mkdir()
    (tmp_path / ".cache").mkdir()
    (tmp_path / "README.md").touch()
    assert list(load_models(settings_for(tmp_path)).classifiers) == ["tiny"]


def test_a_folder_without_a_manifest_is_named(tmp_path: Path) -> None:
    (tmp_path / "half").mkdir()
    with pytest.raises(ModelFolderError, match=r"half/manifest\.json is missing"):
        load_models(settings_for(tmp_path))


def test_the_only_model_is_the_default(tmp_path: Path) -> None:
    write_model(tmp_path / "tiny")
    assert load_models(settings_for(tmp_path)).classifier().name == "tiny"


@pytest.fixture
def two(tmp_path: Path) -> Path:
    write_model(tmp_path / "first")
    write_model(tmp_path / "second", scale=20, default=True)
    return tmp_path


def test_the_manifest_says_which_is_the_default(two: Path) -> None:
    models = load_models(settings_for(two))
    assert models.classifier().name == "second"
    assert models.classifier("first").name == "first"
    np.testing.assert_allclose(models.classifier("second").logits(IMAGES[:1]), [[20, 0, 0]])


def test_the_setting_comes_before_the_manifest(two: Path) -> None:
    assert load_models(settings_for(two, default_classifier="first")).classifier().name == "first"


def test_a_setting_that_names_no_model(two: Path) -> None:
    with pytest.raises(ModelFolderError, match="set to 'third'; there is first, second"):
        load_models(settings_for(two, default_classifier="third"))


@pytest.mark.parametrize("default", [True, False])
def test_two_models_without_a_default_refuse_to_start_by_name(tmp_path: Path, default: bool) -> None:
    for name in ("first", "second"):
        write_model(tmp_path / name, default=default)
    with pytest.raises(ModelFolderError, match="of first, second"):
        load_models(settings_for(tmp_path))


def test_unknown_names_are_told_what_there_is(two: Path) -> None:
    with pytest.raises(UnknownModel, match="'third'; there is first, second"):
        load_models(settings_for(two)).classifier("third")


def test_an_embedding_is_the_direction_from_grey(models: Models) -> None:
    embedder = models.embedder()
    assert (embedder.name, embedder.role, embedder.manifest.width) == ("tiny_embedder", "embedding", 3)
    # (0, 51, 102) is (-.5, -.3, -.1) from grey, of length √.35.
    expected = [np.array([1, -1, -1]) / 3**0.5, np.array([-0.5, -0.3, -0.1]) / 0.35**0.5]
    np.testing.assert_allclose(embedder.embed(IMAGES), expected, rtol=1e-5)


def test_the_gradient_of_a_similarity_is_that_of_a_small_step(models: Models) -> None:
    embedder = models.embedder()
    images = np.random.default_rng(2).integers(60, 110, (1, SIDE_LENGTH, SIDE_LENGTH, 3), np.uint8)
    other = np.array([[0.6, 0, -0.8]], np.float32)
    _, gradient = embedder.explain(images, other)
    brighter = images.copy()
    brighter[..., 1] += 1  # 1/255 in green, everywhere
    step = float(((embedder.embed(brighter) - embedder.embed(images)) @ other.T)[0, 0])
    assert step == pytest.approx(float(gradient[..., 1].sum()) / 255, rel=0.03)


def test_an_embedders_golden_vectors_are_replayed(tmp_path: Path) -> None:
    folder = tmp_path / "tiny"
    written = write_embedder(folder)
    kept = embedder_golden()
    golden.write(replace(kept, answers=kept.answers[::-1]), folder)
    files = {**written.files, "golden.npz": manifest.sha256_of(folder / "golden.npz")}
    manifest.write(written.model_copy(update={"files": files}), folder)
    with pytest.raises(ModelFolderError, match=r"tiny/golden\.npz: embedding of the forward graph differ by"):
        load_models(settings_for(tmp_path))


def test_an_embedder_that_does_not_normalise_is_refused(tmp_path: Path) -> None:
    write_embedder(tmp_path / "tiny", length=1.01)
    with pytest.raises(ModelFolderError, match=r"tiny/golden\.npz: the embedding of image 0 has length 1\.01"):
        load_models(settings_for(tmp_path))


def test_a_dimension_that_is_not_the_graphs_is_told(tmp_path: Path) -> None:
    outputs = (
        Output(role="embedding", name="embedding", shape=("N", 4)),
        Output(role="gradient", name="gradient", shape=("N", 16, 16, 3)),
    )
    write_embedder(tmp_path / "tiny", outputs=outputs)
    with pytest.raises(ModelFolderError, match=r"\[3\].*\[4\]"):
        load_models(settings_for(tmp_path))


def test_classifiers_alone_serve_no_embedder(tmp_path: Path) -> None:
    write_model(tmp_path / "tiny")
    models = load_models(settings_for(tmp_path))
    for name in (None, "tiny"):
        with pytest.raises(UnknownModel, match="No embedder is served"):
            models.embedder(name)


def test_embedders_alone_start_and_serve_no_classifier(tmp_path: Path) -> None:
    write_embedder(tmp_path / "tiny")
    models = load_models(settings_for(tmp_path))
    assert models.embedder().name == "tiny"
    with pytest.raises(UnknownModel, match="No classifier is served"):
        models.classifier()


def test_defaults_go_by_kind(two: Path) -> None:
    for name in ("third", "fourth"):
        write_embedder(two / name)
    with pytest.raises(
        ModelFolderError, match=r"Which embedder is the default, of fourth, third\? Set PHOTOTRIAGE_DEFAULT_EMBEDDER"
    ):
        load_models(settings_for(two))
    models = load_models(settings_for(two, default_embedder="third"))
    assert models.defaults == {"classifier": "second", "embedder": "third"}
    assert models.embedder("fourth").name == "fourth"
    with pytest.raises(UnknownModel, match="No embedder is called 'first'; there is fourth, third"):
        models.embedder("first")


def test_a_default_embedder_that_is_not_there(tmp_path: Path) -> None:
    write_model(tmp_path / "tiny")
    with pytest.raises(ModelFolderError, match="default embedder is set to 'tiny'; there is none"):
        load_models(settings_for(tmp_path, default_embedder="tiny"))


def test_models_are_warm_when_they_are_loaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_model(tmp_path / "tiny")
    calls = []
    monkeypatch.setattr(Classifier, "warm_up", lambda self: calls.append(self.name))
    load_model(tmp_path / "tiny", settings_for(tmp_path))
    assert calls == ["tiny"]


@pytest.mark.parametrize("graph", [tiny_graph(), embedder_graph()])
def test_the_tiny_graphs_are_valid_models(graph: onnx.ModelProto) -> None:
    onnx.checker.check_model(graph, full_check=True)
