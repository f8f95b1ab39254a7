"""clients/openapi.json is the document that the server gives, so that clients can be made without one."""

from __future__ import annotations

import json
from pathlib import Path

from phototriage.contract import openapi

COMMITTED = Path(__file__).parents[2] / "clients/openapi.json"


def test_the_committed_document_is_the_live_one() -> None:
    assert json.loads(COMMITTED.read_text(encoding="utf-8")) == json.loads(json.dumps(openapi.document())), (
        "make clients"
    )


def test_it_is_written_so_that_a_change_shows_where_it_is() -> None:
    text = COMMITTED.read_text(encoding="utf-8")
    assert text == json.dumps(json.loads(text), indent=2, sort_keys=True, ensure_ascii=False) + "\n"
