from __future__ import annotations

import io

import pytest

from phototriage.common.csv_rows import CsvRows, TableError, place_of


def rows_of(content: bytes) -> tuple[list[str], list[tuple[int, list[str]]]]:
    table = CsvRows("t.csv", io.BytesIO(content))
    return table.header, [(row.line, row.cells) for row in table]


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r"])
def test_rows_have_the_number_of_their_last_line(end: bytes) -> None:
    content = end.join([b"\xef\xbb\xbfa , b", b"", b'1,"x, ""y"""', b'2,"two', b'lines"', b"3, c"])
    two_lines = f"two{end.decode()}lines"
    assert rows_of(content) == (["a", "b"], [(3, ["1", 'x, "y"']), (5, ["2", two_lines]), (6, ["3", " c"])])


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", r"t\.csv is empty"),
        (b"\n\r\n", r"t\.csv is empty"),
        (b"a,b\n", r"t\.csv has no row below its header"),
        (b"a,b\n1,2\n3\n", "line 3 has 1 cell, and there are 2 columns"),
        (b"a\n1,2\n", "line 2 has 2 cells, and there are 1 column"),
        (b'a,b\n1,2\n3,"4\n5,6\n', r"no CSV table from line 3 on: .* Close each quotation mark"),
        (b'a,b\n1,2\n3,"4"5\n', "no CSV table from line 3 on"),
        (b"a,b\n1," + b"x" * 200_000, "no CSV table from line 2 on"),
        (b"a,b\n1,2\n3,\xe9\n", "line 3 isn't UTF-8"),
        (b"\xe9,b\n1,2\n", "line 1 isn't UTF-8"),
        ("a,b\n1,2\n".encode("utf-16"), "line 1 is in UTF-16. Save it as UTF-8"),
        ("a,b\n1,2\n".encode("utf-16-le"), "line 1 holds a NUL character"),
        (b"a,b\n1,\0\n", "line 2 holds a NUL character"),
    ],
)
def test_tables_that_can_not_be_read_are_told_with_the_line(content: bytes, told: str) -> None:
    with pytest.raises(TableError, match=told) as raised:
        rows_of(content)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("header", "told"),
    [
        (["a", "path", "path"], "t has 2 columns 'path'. Rename or remove all but one."),
        (["a", "b"], "t has no column 'path'; it has a, b. Say more."),
        ([], "t has no column 'path'; it has no columns. Say more."),
        (["path;label"], "t has its columns separated by semicolons. Save it with commas."),
        (["path\tlabel, long"], "t has its columns separated by tabs. Save it with commas."),
        (["id|label"], "t has its columns separated by vertical bars. Save it with commas."),
        (["x" * 300], f"t has no column 'path'; it has {'x' * 200}…. Say more."),
    ],
)
def test_columns_that_are_not_there_once_are_told(header: list[str], told: str) -> None:
    with pytest.raises(TableError) as raised:
        place_of("t", "path", header, "Say more.")
    assert str(raised.value) == told


def test_columns_beside_the_one_asked_for_may_have_one_name() -> None:
    assert CsvRows("t.csv", io.BytesIO(b"x,path,x\n1,2,3\n")).places(["path"], "") == [1]
