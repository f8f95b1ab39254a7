from __future__ import annotations

from pathlib import Path

import pytest

from phototriage.common.tables import TableError, check_writable, read, write


def test_what_is_written_is_read(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    write(path, ["a", "b"], [["x, y", 'say "z"'], [1, "two\nlines"]])
    assert path.read_bytes() == b'a,b\n"x, y","say ""z"""\n1,"two\nlines"\n'
    table = read(path)
    assert table.header == ["a", "b"]
    assert table.rows == [["x, y", 'say "z"'], ["1", "two\nlines"]]
    assert [each.name for each in tmp_path.iterdir()] == ["t.csv"]


def test_a_byte_order_mark_and_blank_lines_are_no_content(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_bytes(b"\xef\xbb\xbfa,b\r\n\r\n1,2\r\n\r\n")
    table = read(tmp_path / "t.csv")
    assert (table.header, table.rows, table.lines) == (["a", "b"], [["1", "2"]], [3])


def test_a_table_that_fails_leaves_the_old_one(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    write(path, ["a"], [["old"]])
    (tmp_path / "t.csv.part").mkdir()
    with pytest.raises(TableError, match=r"t\.csv can't be written: Is a directory"):
        write(path, ["a"], [["new"]])
    assert read(path).rows == [["old"]]


def test_files_that_are_not_there(tmp_path: Path) -> None:
    with pytest.raises(TableError, match=r"t\.csv: No such file"):
        read(tmp_path / "t.csv")
    with pytest.raises(TableError, match="there is no folder"):
        check_writable(tmp_path / "none" / "t.csv")
    check_writable(tmp_path / "t.csv")


def test_bytes_of_names_that_are_not_utf_8_are_written_escaped(tmp_path: Path) -> None:
    write(tmp_path / "t.csv", ["path", "n"], [["caf\udce9.png", 1.5]])
    assert (tmp_path / "t.csv").read_bytes() == b"path,n\ncaf\\xe9.png,1.5\n"
