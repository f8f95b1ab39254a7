"""Fixtures that several test modules share."""

from __future__ import annotations

import os

# Tests run side by side, a process a core. More threads in each would wait for one another, float64 convolutions most.
os.environ.setdefault("OMP_NUM_THREADS", "1")

from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks import postgres_server
from benchmarks.postgres_server import PostgresServer
from phototriage.models.model_set import Models, load_models
from phototriage.settings import Settings
from tests.failures_at_once import pytest_configure as pytest_configure
from tests.interrupts import heed_interrupts
from tests.tiny_models import write_embedder, write_model

heed_interrupts()


@pytest.fixture(scope="session")
def models_directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A models directory that holds the tiny models as `tiny` and `tiny_embedder`. Don't write to it."""
    directory = tmp_path_factory.mktemp("models")
    write_model(directory / "tiny")
    write_embedder(directory / "tiny_embedder")
    return directory


@pytest.fixture(scope="session")
def settings(models_directory: Path) -> Settings:
    return Settings(models_directory=models_directory, threads=2, provider="cpu", log_requests=False)


@pytest.fixture(scope="session")
def models(settings: Settings) -> Models:
    return load_models(settings)


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """PostgreSQL with pgvector. A test that stops it starts it again."""
    reason = postgres_server.why_not()
    if reason is not None:
        pytest.skip(reason)
    with postgres_server.started() as server:
        yield server


@pytest.fixture
def database(postgres: PostgresServer) -> str:
    """The address of an empty database."""
    return postgres.new_database()
