"""Which calls about collections are made again, and what is told where an answer was lost."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import httpx
import pytest
from phototriage_client import ConnectionFailed, StoreUnavailable, UnknownCollection, UnknownPhoto

from tests.clients.test_python_client_retry import Replies, problem

LOST = [httpx.ReadError, httpx.ReadTimeout, httpx.RemoteProtocolError, problem(503, "store_unavailable")]
NOT_BEGUN = [httpx.ConnectError, httpx.ConnectTimeout, problem(503, "overloaded"), problem(429)]
MODEL = {"name": "m", "version": "v"}

ADDED = {"collection": "c", "model": MODEL, "id": "a", "outcome": "unchanged", "added": False, "duplicates": []}
INFO = {
    "name": "c",
    "model": MODEL,
    "served": True,
    "verifies": True,
    "created_at": 1.5,
    "photos": 0,
    "groups": 0,
    "not_duplicates": 0,
    "bytes": 0,
}
FOUND = {"collection": "c", "model": MODEL, "is_duplicate": False, "matches": []}
PHOTO = {"id": "a", "tags": [], "group": "0", "added_at": 1.5}

CALLS: list[tuple[Callable[[Any], Any], dict[str, Any]]] = [
    (lambda client: client.collections(), {"collections": []}),
    (lambda client: client.collection("c").create(), INFO),
    (lambda client: client.collection("c").info(), INFO),
    (lambda client: client.collection("c").add(b"a", "a"), ADDED),
    (lambda client: client.collection("c").add_batch({"a": b"a"}), {"results": []}),
    (lambda client: client.collection("c").query(b"a"), FOUND),
    (lambda client: client.collection("c").photo("a"), PHOTO),
]
DELETIONS: list[tuple[Callable[[Any], Any], str, type]] = [
    (lambda client: client.collection("c").delete(), "unknown_collection", UnknownCollection),
    (lambda client: client.collection("c").delete_photo("a"), "unknown_photo", UnknownPhoto),
]
MARKS: list[Callable[[Any], Any]] = [
    lambda client: client.collection("c").mark_not_duplicates("a", "b"),
    lambda client: client.collection("c").unmark_not_duplicates("a", "b"),
]


@pytest.fixture(params=["ask", "ask_in_loop"])
def ask(request: pytest.FixtureRequest) -> Callable[..., Any]:
    """Of both clients."""
    asking: Callable[..., Any] = getattr(Replies, request.param)
    return asking


@pytest.mark.parametrize("broken", LOST)
@pytest.mark.parametrize(("how", "body"), CALLS)
def test_what_does_no_harm_twice_is_asked_again(ask: Callable[..., Any], broken: Any, how: Any, body: Any) -> None:
    replies = Replies(broken, httpx.Response(200, json=body))
    assert ask(replies, how).model_dump(exclude_none=True) == body
    assert replies.asked == 2


@pytest.mark.parametrize("broken", LOST)
@pytest.mark.parametrize(("how", "code", "kind"), DELETIONS)
def test_what_a_lost_attempt_deleted_is_deleted(
    ask: Callable[..., Any], broken: Any, how: Any, code: str, kind: type
) -> None:
    replies = Replies(broken, httpx.ConnectError, problem(404, code))
    assert ask(replies, how).changed is True
    assert replies.asked == 3


@pytest.mark.parametrize("broken", [None, *NOT_BEGUN])
@pytest.mark.parametrize(("how", "code", "kind"), DELETIONS)
def test_what_was_not_there_is_said_so(ask: Callable[..., Any], broken: Any, how: Any, code: str, kind: type) -> None:
    gone = problem(404, code)
    replies = Replies(gone) if broken is None else Replies(broken, gone)
    with pytest.raises(kind):
        ask(replies, how)
    assert replies.asked == 1 + (broken is not None)


def test_no_photo_is_told_as_deleted_where_there_is_no_collection(ask: Callable[..., Any]) -> None:
    with pytest.raises(UnknownCollection):
        ask(Replies(httpx.ReadError, problem(404, "unknown_collection")), DELETIONS[1][0])


@pytest.mark.parametrize("how", MARKS)
def test_a_mark_that_a_lost_attempt_made_has_changed_something(ask: Callable[..., Any], how: Any) -> None:
    known = httpx.Response(200, json={"changed": False})
    assert ask(Replies(httpx.ReadTimeout, known), how).changed is True
    assert ask(Replies(httpx.ConnectError, known), how).changed is False
    with pytest.raises(UnknownPhoto):
        ask(Replies(httpx.ReadTimeout, problem(404, "unknown_photo")), how)


def test_a_store_that_stays_unavailable_is_told_with_its_attempts(ask: Callable[..., Any]) -> None:
    with pytest.raises(StoreUnavailable) as caught:
        ask(Replies(problem(503, "store_unavailable")), CALLS[3][0])
    assert caught.value.temporary
    assert caught.value.attempts == 6
    with pytest.raises(ConnectionFailed):
        ask(Replies(httpx.ReadError), DELETIONS[0][0])
