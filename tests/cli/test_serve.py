from __future__ import annotations

import os
import shutil
import socket
import sys
import tempfile
from pathlib import Path
from typing import NoReturn

import pytest

from phototriage.cli.command import main
from phototriage.server import launch
from phototriage.settings import Settings

ROOT = Path(__file__).parents[2]


class Replaced(Exception):
    """This process would be another by now."""


@pytest.fixture
def port() -> str:
    with socket.create_server(("127.0.0.1", 0)) as free:
        return str(free.getsockname()[1])


def test_the_server_takes_the_commands_place(
    port: str, models_directory: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def replace(program: str, command: list[str], environment: dict[str, str]) -> NoReturn:
        assert program == sys.executable
        assert command == launch.command("127.0.0.1", port)
        assert environment["PHOTOTRIAGE_MODELS_DIRECTORY"] == str(tmp_path / "mine")
        raise Replaced

    (tmp_path / "mine").symlink_to(models_directory)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PHOTOTRIAGE_MODELS_DIRECTORY", "mine")
    monkeypatch.setenv("BENTOML_HOME", "elsewhere")
    monkeypatch.setattr(os, "execve", replace)
    with pytest.raises(Replaced):
        main(["serve", "--host", "127.0.0.1", "--port", port])


def test_a_taken_port_is_told_in_a_line(
    models_directory: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PHOTOTRIAGE_MODELS_DIRECTORY", str(models_directory))
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert main(["serve", "--host", "127.0.0.1", "--port", str(port)]) == 2
    told = capsys.readouterr().err
    assert told.startswith(f"phototriage: Port {port} of 127.0.0.1 is taken by another program. ")
    assert told.count("\n") == 1


def test_a_server_without_models_does_not_begin(
    port: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PHOTOTRIAGE_MODELS_DIRECTORY", str(tmp_path / "none"))
    assert main(["serve", "--port", port]) == 2
    told = capsys.readouterr().err
    for remedy in ("PHOTOTRIAGE_MODELS_DIRECTORY", "exported_models", "phototriage-models"):
        assert remedy in told


def test_the_servers_paths_are_those_of_its_caller(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its workers have another working directory."""
    monkeypatch.chdir(tmp_path)
    settings = Settings(models_directory=Path("models"), api_keys_file=Path("keys"))
    (tmp_path / "traces.yaml").touch()
    given = {"BENTOML_CONFIG": "traces.yaml", "BENTOML_HOME": "home", "PATH": "bin"}
    assert launch.environment(settings, given) == {
        "BENTOML_CONFIG": str(tmp_path / "traces.yaml"),
        "BENTOML_DO_NOT_TRACK": "True",
        "BENTOML_HOME": str(tmp_path / "home"),
        "MKL_NUM_THREADS": "1",
        "OMP_NUM_THREADS": "1",
        "OPENBLAS_NUM_THREADS": "1",
        "PATH": "bin",
        "PHOTOTRIAGE_API_KEYS_FILE": str(tmp_path / "keys"),
        "PHOTOTRIAGE_MODELS_DIRECTORY": str(tmp_path / "models"),
        "PYTHONSAFEPATH": "1",
    }
    callers = launch.environment(settings, given | {"OMP_NUM_THREADS": "2"})
    assert callers["OMP_NUM_THREADS"] == "2"
    assert "OPENBLAS_NUM_THREADS" not in callers  # which would outweigh it


def test_each_server_has_a_folder_of_bentomls_own() -> None:
    """BentoML deletes the metrics that it finds in it."""
    homes = [launch.environment(Settings(), {})["BENTOML_HOME"] for _ in range(2)]
    try:
        assert homes[0] != homes[1]
        assert all(Path(home).is_dir() for home in homes)
    finally:
        for home in homes:
            shutil.rmtree(home)


def test_homes_of_servers_that_were_killed_are_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    gone, alive = (tmp_path / f"{launch.HOME_PREFIX}{number}-x" for number in (2**22 + 1, os.getpid()))
    for folder in (gone, alive):
        (folder / "prometheus").mkdir(parents=True)
    home = Path(launch.environment(Settings(), {})["BENTOML_HOME"])
    assert sorted(tmp_path.iterdir()) == sorted([alive, home])


def test_a_configuration_that_is_not_there_is_refused(
    port: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BENTOML_CONFIG", "/nonexistent.yaml")
    monkeypatch.setenv("PHOTOTRIAGE_MODELS_DIRECTORY", str(ROOT / "exported_models"))
    assert main(["serve", "--port", port]) == 2
    assert "BENTOML_CONFIG='/nonexistent.yaml' names no file" in capsys.readouterr().err
