"""Processes that die while they score: replaced, what they were at tried again, the culprit found."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pytest
from pyarrow import parquet

from phototriage.common.errors import ModelFolderError, UnknownModel
from phototriage.images.pixels import ImageLimits
from phototriage.scoring.image_references import BytesInMemory, Item
from phototriage.scoring.pool import Job, ScorePool
from phototriage.scoring.scorer import ScoringFailed, Shard
from phototriage.settings import Settings
from phototriage.triage.pipeline import TriageRequest
from tests.tiny_models import solid

RED = solid((255, 0, 0))


@dataclass(frozen=True)
class Deadly:
    """Ends the process that reads it: always, or `times`, which are counted in a file."""

    times: int | None = None
    counter: str = ""

    def read(self, limits: ImageLimits) -> bytes:
        if self.times is not None:
            done = Path(self.counter).stat().st_size if Path(self.counter).exists() else 0
            if done == self.times:
                return RED
            with Path(self.counter).open("a") as file:
                file.write("x")
        os.kill(os.getpid(), signal.SIGKILL)
        raise AssertionError


@dataclass(frozen=True)
class DeadlyWriter:
    """Ends the process when the images are done."""

    def __call__(self, shard: Shard, table: pa.Table) -> int:
        os.kill(os.getpid(), signal.SIGKILL)
        raise AssertionError


@dataclass(frozen=True)
class FaultyWriter:
    def __call__(self, shard: Shard, table: pa.Table) -> int:
        raise UnicodeEncodeError("utf-8", "x", 0, 1, "a fault")


@dataclass(frozen=True)
class Writer:
    folder: Path

    def __call__(self, shard: Shard, table: pa.Table) -> int:
        parquet.write_table(table, self.folder / f"{shard.number}.parquet")
        return shard.number  # stands for the number of errors


@dataclass(frozen=True)
class FullDisk:
    def __call__(self, shard: Shard, table: pa.Table) -> int:
        raise OSError(28, "No space left on device")


def item(name: str) -> Item:
    return Item(name, BytesInMemory(RED, len(RED)))


@pytest.fixture
def job(settings: Settings, tmp_path: Path) -> Job:
    return Job(settings, TriageRequest(("classify",)), 1, Writer(tmp_path))


@pytest.fixture
def pool(job: Job) -> Iterator[ScorePool]:
    with closing(ScorePool(job, 2)) as pool:
        pool.wait_until_ready()
        yield pool


def rows(folder: Path, number: int) -> dict[str, str]:
    table = parquet.read_table(folder / f"{number}.parquet").to_pylist()
    return {row["name"]: row["classify"]["label"] if row["classify"] else row["error"]["title"] for row in table}


def test_shards_are_done_once_each(pool: ScorePool, tmp_path: Path) -> None:
    shards = [Shard(number, [item(f"{number}a"), item(f"{number}b")]) for number in range(7)]
    done = list(pool.run(iter(shards)))
    assert sorted(shard.number for shard, _ in done) == list(range(7))
    assert all(errors == shard.number for shard, errors in done)
    assert rows(tmp_path, 3) == {"3a": "red", "3b": "red"}


@pytest.mark.parametrize("times", [1, 2])
def test_a_process_that_dies_is_replaced_and_its_shard_done(pool: ScorePool, tmp_path: Path, times: int) -> None:
    """Twice: once more while its shard is done image by image, as when somebody kills processes."""
    once = Item("once", Deadly(times, str(tmp_path / "counter")))
    shards = [Shard(0, [item("a"), once, item("b")]), Shard(1, [item("c")]), Shard(2, [item("d")])]
    assert sorted(shard.number for shard, _ in pool.run(iter(shards))) == [0, 1, 2]
    assert rows(tmp_path, 0) == {"a": "red", "once": "red", "b": "red"}


def test_an_image_that_always_ends_its_process_costs_no_other_its_row(pool: ScorePool, tmp_path: Path) -> None:
    shards = [Shard(0, [Item("deadly", Deadly()), *(item(str(number)) for number in range(12))]), Shard(1, [item("c")])]
    assert sorted(shard.number for shard, _ in pool.run(iter(shards))) == [0, 1]
    labels = rows(tmp_path, 0)
    assert labels["deadly"] == "The image ends the process that reads it"
    assert [labels[str(number)] for number in range(12)] == ["red"] * 12


def test_models_that_cannot_be_loaded_are_told(job: Job, tmp_path: Path) -> None:
    lost = Job(job.settings.model_copy(update={"models_directory": tmp_path / "none"}), job.request, 1, job.write)
    with closing(ScorePool(lost, 1)) as pool, pytest.raises(ModelFolderError, match="can't be read"):
        pool.wait_until_ready()
    unknown = Job(job.settings, TriageRequest(("classify",), classifier="nobody"), 1, job.write)
    with closing(ScorePool(unknown, 1)) as pool, pytest.raises(UnknownModel, match="nobody"):
        pool.wait_until_ready()


def test_a_full_disk_is_told(job: Job) -> None:
    full = Job(job.settings, job.request, 1, FullDisk())
    with closing(ScorePool(full, 1)) as pool:
        pool.wait_until_ready()
        with pytest.raises(OSError, match="No space left"):
            list(pool.run(iter([Shard(0, [item("a")])])))


FAULTS = [(DeadlyWriter(), "SIGKILL"), (FaultyWriter(), "from 'a' on can't be scored")]


@pytest.mark.parametrize(("write", "message"), FAULTS)
def test_what_ends_processes_and_is_no_image_is_told(job: Job, write: Callable[..., int], message: str) -> None:
    with closing(ScorePool(Job(job.settings, job.request, 1, write), 1)) as pool:
        pool.wait_until_ready()
        with pytest.raises(ScoringFailed, match=message):
            list(pool.run(iter([Shard(0, [item("a")])])))


def test_a_process_that_dies_before_it_is_ready_is_told(job: Job) -> None:
    with closing(ScorePool(job, 1)) as pool:
        pool.kill_all()
        with pytest.raises(ScoringFailed, match=r"by signal 9 \(SIGKILL\)"):
            pool.wait_until_ready()


def test_one_that_is_killed_while_it_takes_anothers_place_is_replaced_too(
    job: Job, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kills: list[object] = []
    once = Item("once", Deadly(1, str(tmp_path / "counter")))
    shards = [Shard(0, [item("a"), once]), *(Shard(number, [item("b")]) for number in range(1, 5))]
    with closing(ScorePool(job, 1)) as pool:  # with another one, that might do it all before
        pool.wait_until_ready()
        start = pool._start

        def start_and_kill() -> object:
            fresh = start()
            if len(kills) < 2:
                kills.append(fresh)
                fresh.process.kill()
            return fresh

        monkeypatch.setattr(pool, "_start", start_and_kill)
        assert sorted(shard.number for shard, _ in pool.run(iter(shards))) == [0, 1, 2, 3, 4]
    assert len(kills) == 2
    assert rows(tmp_path, 0) == {"a": "red", "once": "red"}
