from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest

from phototriage.scoring.image_references import BytesInMemory, Item
from phototriage.scoring.parts import LOCK_FILE, RUN_FILE, Parts, PartsError, begin, encode_part, folder_of, locked
from phototriage.scoring.schema import schema_of
from phototriage.scoring.scorer import Shard

DESCRIPTION = {"models": {"tiny": "1"}}
SHARD = Shard(0, [Item("a.jpg", BytesInMemory(b"", 0))])


@pytest.fixture
def output(tmp_path: Path) -> Path:
    return tmp_path / "scores.parquet"


def filled(output: Path) -> Parts:
    parts = begin(output, DESCRIPTION, 64, restart=False)
    parts.write(0, encode_part(SHARD, pa.Table.from_pylist([{"name": "a.jpg"}], schema_of(["classify"]))))
    return parts


def test_a_run_goes_on_with_its_parts(output: Path) -> None:
    with locked(output):
        first = filled(output)
        again = begin(output, DESCRIPTION, 8, restart=False)
        assert again.has(SHARD)
        assert (again.identity, again.shard_size) == (first.identity, 64)


def test_parts_of_nobody_knows_which_run_are_not_taken_over(output: Path) -> None:
    """As a kill leaves them while another run's are being deleted."""
    with locked(output):
        filled(output)
        (folder_of(output) / RUN_FILE).unlink()
        assert not begin(output, {"models": {"tiny": "2"}}, 64, restart=False).has(SHARD)


@pytest.mark.parametrize("how", ["restart", "delete"])
def test_the_description_is_the_first_to_go(output: Path, monkeypatch: pytest.MonkeyPatch, how: str) -> None:
    gone: list[str] = []
    unlink = Path.unlink

    def tell(self: Path, missing_ok: bool = False) -> None:
        gone.append(self.name)
        unlink(self, missing_ok)

    with locked(output):
        parts = filled(output)
        monkeypatch.setattr(Path, "unlink", tell)
        if how == "delete":
            parts.delete()
        else:
            begin(output, DESCRIPTION, 64, restart=True)
    assert gone[0] == RUN_FILE
    assert "000000000.parquet" in gone


def test_one_that_is_refused_leaves_the_others_lock(output: Path) -> None:
    with locked(output):
        for _ in range(2):
            with pytest.raises(PartsError, match="Another process writes"), locked(output):
                raise AssertionError
        assert [path.name for path in folder_of(output).iterdir()] == [LOCK_FILE]
    assert not folder_of(output).exists()
    with locked(output):
        pass


def test_a_lock_in_a_folder_that_was_taken_away_is_none(output: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another run ends between the opening of its lock file and the locking of it."""
    import fcntl

    lock = fcntl.flock
    times: list[int] = []

    def late(descriptor: int, how: int) -> None:
        if not times:
            (folder_of(output) / LOCK_FILE).unlink()
            folder_of(output).rmdir()
        times.append(descriptor)
        lock(descriptor, how)

    monkeypatch.setattr(fcntl, "flock", late)
    with locked(output):
        assert len(times) == 2
        with pytest.raises(PartsError), locked(output):
            raise AssertionError
