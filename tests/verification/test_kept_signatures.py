"""Signatures of many photos on disk."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from phototriage.verification import kept_signatures
from phototriage.verification.kept_signatures import KeptSignatures, SignatureFile


def file_of(folder: Path, name: str, *signatures: bytes) -> SignatureFile:
    places = folder / f"{name}.bin", folder / f"{name}.npy"
    kept_signatures.write(signatures, *places)
    return kept_signatures.read(*places)


def test_a_file_gives_each_as_it_was_written(tmp_path: Path) -> None:
    given = [b"one", b"", b"three"]
    kept = file_of(tmp_path, "some", *given)
    assert list(kept) == given
    assert (len(kept), kept[2]) == (3, b"three")
    assert list(file_of(tmp_path, "none")) == []


@pytest.mark.parametrize("ends", [np.array([3, 7]), np.array([3.0, 8.0]), np.array([[3, 8]]), np.empty(0, np.int64)])
def test_files_that_dont_fit_together_are_an_error(tmp_path: Path, ends: np.ndarray[tuple[int, ...], np.dtype]) -> None:
    file_of(tmp_path, "some", b"one", b"three")
    np.save(tmp_path / "some.npy", ends)
    with pytest.raises(ValueError, match="doesn't tell"):
        kept_signatures.read(tmp_path / "some.bin", tmp_path / "some.npy")


def test_rows_go_through_files_and_those_that_were_added_since(tmp_path: Path) -> None:
    rows = KeptSignatures(tmp_path)
    for number, content in enumerate(([b"0", b"11"], [], [b"222"])):
        rows.append_file(file_of(tmp_path, str(number), *content))
    before = sorted(tmp_path.iterdir())
    rows.add(b"3333")
    rows.add(b"4")
    assert [rows[row] for row in range(len(rows))] == [b"0", b"11", b"222", b"3333", b"4"]
    assert sorted(tmp_path.iterdir()) == before
    rows.replace_files([file_of(tmp_path, "all", *[rows[row] for row in range(5)])])
    assert [rows[row] for row in (4, 0)] == [b"4", b"0"]
    with pytest.raises(IndexError):
        rows[5]
