"""Of which model an index folder is, and that one process at a time writes to it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from phototriage.common.atomic_writes import atomic_folder
from phototriage.common.errors import IndexFolderError
from phototriage.index.folder import Description, IndexedModel, lock, model_of, open_description
from phototriage.index.image_index import ImageIndex
from phototriage.models.model_set import Models
from tests.index.test_image_index import PLAIN


def test_an_index_of_another_version_or_model_is_refused(tmp_path: Path) -> None:
    ImageIndex.open(tmp_path, PLAIN).close()
    for other in ({"version": "2"}, {"name": "other"}):
        with pytest.raises(IndexFolderError, match=r"version '1'.*can't be compared.*new folder"):
            ImageIndex.open(tmp_path, PLAIN.model_copy(update=other))
    with pytest.raises(IndexFolderError, match=r"threshold 0.9, and 0.8"):
        ImageIndex.open(tmp_path, PLAIN.model_copy(update={"threshold": 0.8}))
    ImageIndex.open(tmp_path, PLAIN).close()


def test_the_description_comes_from_the_model(models: Models, tmp_path: Path) -> None:
    embedder = models.embedder()
    with ImageIndex.open(tmp_path, embedder) as index:
        assert (index.info().model, index.info().version) == (embedder.name, embedder.manifest.version)
    indexed_model = IndexedModel.of(embedder.manifest, 0.5)
    assert (indexed_model.threshold, indexed_model.dimension) == (0.5, sum(embedder.manifest.embedding_parts))
    with pytest.raises(IndexFolderError, match="needs an embedder"):
        IndexedModel.of(models.classifier().manifest)


def test_parts_have_to_fit_layout_rescoring() -> None:
    with pytest.raises(ValueError, match="behind the embedding"):
        IndexedModel(name="a", version="1", parts=(2, 64), threshold=0.5)


def test_a_folder_of_something_else_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "holiday.jpg").touch()
    with pytest.raises(IndexFolderError, match=r"no index.json"):
        ImageIndex.open(tmp_path, PLAIN)
    with pytest.raises(IndexFolderError, match=r"no index.json"):
        ImageIndex.open(tmp_path / "nowhere", PLAIN, read_only=True)
    assert not (tmp_path / "nowhere").exists()


def test_an_index_tells_what_made_it(tmp_path: Path) -> None:
    ImageIndex.open(tmp_path, PLAIN).close()
    assert model_of(tmp_path) == PLAIN
    with pytest.raises(IndexFolderError, match="is no index"):
        model_of(tmp_path / "nowhere")


def test_a_description_that_cant_be_read_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "index.json").write_text("{}")
    with pytest.raises(IndexFolderError, match="can't be read"):
        ImageIndex.open(tmp_path, PLAIN)


def test_a_folder_keeps_its_own_sizes(tmp_path: Path) -> None:
    first = Description(model=PLAIN, exact=10, step=4)
    assert open_description(tmp_path, first, read_only=False) == first
    assert open_description(tmp_path, Description(model=PLAIN, exact=99, step=9), read_only=False) == first
    assert [first.graph_rows(count) for count in (0, 9, 10, 11, 12, 15, 16)] == [0, 0, 8, 8, 12, 12, 16]


def test_a_second_process_is_refused_until_the_first_ends(tmp_path: Path) -> None:
    script = (
        "import sys\n"
        "from pathlib import Path\n"
        "from phototriage.index.image_index import ImageIndex\n"
        "from tests.index.test_image_index import PLAIN\n"
        "index = ImageIndex.open(Path(sys.argv[1]), PLAIN)\n"
        "print('open', flush=True)\n"
        "sys.stdin.read()\n"
    )
    command = [sys.executable, "-c", script, str(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == b"open\n"
        with pytest.raises(IndexFolderError, match=f"written to by process {other.pid}.*Wait"):
            ImageIndex.open(tmp_path, PLAIN)
        ImageIndex.open(tmp_path, PLAIN, read_only=True).close()
        other.kill()
    ImageIndex.open(tmp_path, PLAIN).close()


def test_the_lock_is_free_when_its_file_is_closed(tmp_path: Path) -> None:
    lock(tmp_path).close()
    with lock(tmp_path), pytest.raises(IndexFolderError, match="being written to"):
        lock(tmp_path)


def test_a_folder_that_isnt_finished_never_gets_its_name(tmp_path: Path) -> None:
    def stop(part: Path) -> None:
        (part / "half").touch()
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt), atomic_folder(tmp_path / "a") as part:
        stop(part)
    assert [path.name for path in tmp_path.iterdir()] == ["a.part"]
    with atomic_folder(tmp_path / "a") as part:
        assert not list(part.iterdir())
        (part / "whole").touch()
    assert [path.name for path in tmp_path.rglob("*")] == ["a", "whole"]
