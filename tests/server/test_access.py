from __future__ import annotations

import os
from pathlib import Path

import pytest
from starlette.requests import Request

from phototriage.common.errors import Unauthorized
from phototriage.server import access
from phototriage.server.access import Access, KeyFileError

OLD, NEW = "old-key-0123456789", "new-key-0123456789"


def request(**headers: str) -> Request:
    lines = [(name.replace("_", "-").encode(), value.encode("latin-1")) for name, value in headers.items()]
    return Request({"type": "http", "headers": lines})


def allowed(keys: Access, **headers: str) -> bool:
    try:
        keys.check(request(**headers))
    except Unauthorized:
        return False
    return True


def test_without_keys_all_may_ask_but_not_what_needs_one() -> None:
    assert allowed(Access([]))
    with pytest.raises(Unauthorized, match="the server has none"):
        Access([]).demand(request(x_api_key=OLD))


@pytest.mark.parametrize(
    "headers",
    [
        {"authorization": f"Bearer {OLD}"},
        {"authorization": f"bearer   {NEW} "},
        {"x_api_key": NEW},
        {"authorization": "Basic abc", "x_api_key": OLD},
    ],
)
def test_any_of_the_keys_in_either_header(headers: dict[str, str]) -> None:
    keys = Access([OLD, NEW])
    assert allowed(keys, **headers)
    keys.demand(request(**headers))


@pytest.mark.parametrize(
    ("headers", "message"),
    [
        ({}, "has no key"),
        ({"authorization": "Bearer "}, "has no key"),
        ({"authorization": OLD}, "has no key"),
        ({"x_api_key": OLD[:-1]}, "none of those"),
        ({"x_api_key": OLD + "x"}, "none of those"),
        ({"authorization": "Bearer \xff\xfe"}, "none of those"),
    ],
)
def test_no_key_and_wrong_keys(headers: dict[str, str], message: str) -> None:
    with pytest.raises(Unauthorized, match=message) as raised:
        Access([OLD, NEW]).check(request(**headers))
    assert OLD not in raised.value.detail


def test_a_file_of_keys_that_changes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(access, "RELOAD_SECONDS", 0)
    file = tmp_path / "keys"
    file.write_text(f"# ours\n{OLD}\n\n")
    keys = Access([], file)
    assert allowed(keys, x_api_key=OLD)
    assert not allowed(keys, x_api_key="# ours")
    file.write_text(f"{OLD}\n{NEW}\n")
    os.utime(file, (1, 1))
    assert allowed(keys, x_api_key=OLD)
    assert allowed(keys, x_api_key=NEW)
    file.write_text(f"{NEW}\n")
    os.utime(file, (2, 2))
    assert not allowed(keys, x_api_key=OLD)
    file.unlink()  # while it is being replaced
    assert allowed(keys, x_api_key=NEW)
    file.write_text("")
    assert allowed(keys, x_api_key=NEW)


def test_a_file_without_keys(tmp_path: Path) -> None:
    with pytest.raises(KeyFileError, match="can't be read"):
        Access([], tmp_path / "missing")
    (tmp_path / "empty").write_text("# none\n")
    (tmp_path / "short").write_text(f"{OLD}\nshort\n")
    with pytest.raises(KeyFileError, match="fewer than 16 characters"):
        Access([], tmp_path / "short")
    with pytest.raises(KeyFileError, match="holds none"):
        Access([], tmp_path / "empty")
