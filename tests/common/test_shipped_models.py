from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from phototriage.common import shipped_models
from phototriage.models.model_set import folders_of
from phototriage.settings import Settings


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A package of models, of which two were trained on the same photos; the working directory is empty."""
    package = tmp_path / "site" / "phototriage_models"
    for name, data in {"first": "cats", "second": "houses", "third": "cats"}.items():
        folder = package / "models" / name
        folder.mkdir(parents=True)
        (folder / "manifest.json").write_text(json.dumps({"data": {"name": data, "licence": f"of {data}"}}))
    (package / "__init__.py").touch()
    (package / "__pycache__").mkdir()
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path / "empty")
    monkeypatch.delenv("PHOTOTRIAGE_MODELS_DIRECTORY", raising=False)
    monkeypatch.syspath_prepend(str(package.parent))
    shipped_models.directory.cache_clear()
    yield package / "models"
    shipped_models.directory.cache_clear()


def test_installed_models_are_what_is_left(installed: Path) -> None:
    assert Settings().models_directory == installed
    assert [folder.name for folder in folders_of(Settings())] == ["first", "second", "third"]
    assert "phototriage_models" not in sys.modules


def test_what_one_has_exported_comes_before_them(installed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Path("exported_models").mkdir()
    assert Settings().models_directory == Path("exported_models")
    monkeypatch.setenv("PHOTOTRIAGE_MODELS_DIRECTORY", "named")
    assert Settings().models_directory == Path("named")


def test_whose_photos_they_were_trained_on_is_told_once_for_each_set(installed: Path) -> None:
    assert shipped_models.notice(installed).endswith("training data: cats: of cats; houses: of houses")
    assert shipped_models.notice(Path("exported_models")) == ""


def test_nothing_is_told_where_none_are_installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shipped_models.directory.cache_clear()
    monkeypatch.setattr(shipped_models, "PACKAGE", "phototriage_models_that_nobody_has")
    try:
        assert shipped_models.directory() is None
        assert shipped_models.notice(tmp_path) == ""
    finally:
        shipped_models.directory.cache_clear()
