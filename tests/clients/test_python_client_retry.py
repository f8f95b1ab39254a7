"""When the Python client asks again, by a clock that only its own pauses move."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest
from phototriage_client import (
    AsyncClient,
    Client,
    ClientError,
    ConnectionFailed,
    Overloaded,
    Problem,
    Retry,
    TimedOut,
    UnexpectedAnswer,
)

from tests.http_clients import wait_until
from tests.running_server import SECONDS

ALIVE = {"status": "alive"}
Asking = Callable[[Any], Any]  # of a client


class Time:
    """A clock, and the pauses that moved it."""

    def __init__(self) -> None:
        self.now = 0.0
        self.pauses: list[float] = []

    def sleep(self, seconds: float) -> None:
        self.pauses.append(seconds)
        self.now += seconds

    async def sleep_in_loop(self, seconds: float) -> None:
        self.sleep(seconds)


class Replies:
    """What a server answers, one after another; the last again and again. A client to ask it, and what came of it."""

    def __init__(self, *replies: httpx.Response | Exception | type[httpx.RequestError], random: float = 0.5) -> None:
        self._replies, self._random = list(replies), random
        self.time, self.asked = Time(), 0

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.asked += 1
        reply = self._replies.pop(0) if len(self._replies) > 1 else self._replies[0]
        if isinstance(reply, type):
            raise reply("broken", request=request)
        if isinstance(reply, Exception):
            raise reply
        # A response can be given once.
        return httpx.Response(reply.status_code, headers=reply.headers, content=reply.content)

    async def in_loop(self, request: httpx.Request) -> httpx.Response:
        return self(request)

    def ask(self, how: str | Asking = "models", **options: Any) -> Any:
        transport = httpx.MockTransport(self)
        client = Client(
            transport=transport, clock=lambda: self.time.now, sleep=self.time.sleep, random=self._value, **options
        )
        with client:
            return getattr(client, how)() if isinstance(how, str) else how(client)

    def ask_in_loop(self, how: str | Asking = "models", **options: Any) -> Any:
        async def ask() -> Any:
            client = AsyncClient(
                transport=httpx.MockTransport(self.in_loop),
                clock=lambda: self.time.now,
                sleep=self.time.sleep_in_loop,
                random=self._value,
                **options,
            )
            async with client:
                return await (getattr(client, how)() if isinstance(how, str) else how(client))

        return asyncio.run(ask())

    def _value(self) -> float:
        return self._random


def found() -> httpx.Response:
    return httpx.Response(200, json={"models": []})


def problem(status: int, code: str = "some_code", **headers: str) -> httpx.Response:
    body = {"type": "about:blank", "title": "No", "status": status, "code": code, "detail": "because"}
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    return httpx.Response(status, json=body, headers={"content-type": "application/problem+json"} | names)


@pytest.fixture(params=["ask", "ask_in_loop"])
def ask(request: pytest.FixtureRequest) -> Callable[..., Any]:
    """Of both clients."""
    asking: Callable[..., Any] = getattr(Replies, request.param)
    return asking


BROKEN = [
    httpx.ConnectError,
    httpx.ConnectTimeout,
    httpx.PoolTimeout,
    httpx.ReadError,
    httpx.ReadTimeout,
    httpx.RemoteProtocolError,
    httpx.WriteError,
    httpx.WriteTimeout,
]


@pytest.mark.parametrize("broken", [problem(503), problem(429), *BROKEN])
def test_what_may_pass_is_asked_again(ask: Callable[..., Any], broken: Any) -> None:
    replies = Replies(broken, broken, found())
    assert ask(replies).models == []
    assert replies.asked == 3


@pytest.mark.parametrize("status", [400, 401, 404, 405, 408, 413, 415, 422, 499, 500, 501, 502, 504])
def test_no_other_refusal_is_asked_again(ask: Callable[..., Any], status: int) -> None:
    replies = Replies(problem(status, retry_after="0"), found())
    with pytest.raises(Problem) as caught:
        ask(replies)
    assert (caught.value.status, caught.value.attempts) == (status, 1)
    assert (replies.asked, replies.time.pauses) == (1, [])


def test_pauses_double_up_to_the_most_and_are_drawn_from_nought_on() -> None:
    retry = Retry(attempts=7, total_seconds=1000, first_seconds=0.5, most_seconds=4)
    expected = [0.5, 1, 2, 4, 4, 4]
    for random in (0.0, 0.25, 0.75):
        replies = Replies(problem(503), random=random)
        with pytest.raises(Problem):
            replies.ask(retry=retry)
        assert replies.time.pauses == [random * seconds for seconds in expected]


def test_attempts_are_bounded_and_counted(ask: Callable[..., Any]) -> None:
    replies = Replies(problem(503, "overloaded"))
    with pytest.raises(Overloaded) as caught:
        ask(replies, retry=Retry(attempts=3))
    assert replies.asked == caught.value.attempts == 3


def test_no_attempt_begins_after_the_total_time(ask: Callable[..., Any]) -> None:
    replies = Replies(httpx.ConnectError, random=0.999)
    with pytest.raises(ConnectionFailed):
        ask(replies, retry=Retry(attempts=100, total_seconds=10, first_seconds=1, most_seconds=4))
    assert replies.time.pauses == pytest.approx([0.999, 1.998, 3.996])  # another 3.996 would be too late


def test_retry_after_passes_before_the_next_attempt(ask: Callable[..., Any]) -> None:
    replies = Replies(problem(503, retry_after="7"), problem(429, retry_after="1.5"), found())
    ask(replies, retry=Retry(first_seconds=1))
    assert replies.time.pauses == [7.5, 2.5]


@pytest.mark.parametrize("date", ["Wed, 21 Oct 2015 07:28:09 GMT", "Wed, 21 Oct 2015 07:28:09 -0000"])
def test_retry_after_may_be_a_date_by_the_servers_clock(date: str) -> None:
    replies = Replies(problem(503, retry_after=date, date="Wed, 21 Oct 2015 07:28:00 GMT"), found(), random=0)
    replies.ask()
    assert replies.time.pauses == [9]


@pytest.mark.parametrize("text", ["soon", "-3", "nan", "inf", "", "Wed, 21 Oct 1015 07:28:00 GMT"])
def test_a_retry_after_that_says_nothing_is_passed_over(text: str) -> None:
    replies = Replies(problem(503, retry_after=text), found())
    replies.ask(retry=Retry(first_seconds=1))
    assert replies.time.pauses == [0.5]


def test_a_retry_after_beyond_the_total_time_is_not_waited_for(ask: Callable[..., Any]) -> None:
    replies = Replies(problem(503, retry_after="3600"), found())
    with pytest.raises(Problem) as caught:
        ask(replies)
    assert (caught.value.retry_after, replies.time.pauses) == (3600, [])


@pytest.mark.parametrize("broken", [httpx.ReadError, httpx.ReadTimeout, httpx.RemoteProtocolError, problem(503)])
def test_a_reload_that_may_have_begun_is_not_asked_again(ask: Callable[..., Any], broken: Any) -> None:
    replies = Replies(broken, found())
    with pytest.raises(ClientError):
        ask(replies, "reload")
    assert replies.asked == 1


@pytest.mark.parametrize("broken", [httpx.ConnectError, httpx.ConnectTimeout, problem(503, "overloaded")])
def test_a_reload_that_was_not_begun_is_asked_again(ask: Callable[..., Any], broken: Any) -> None:
    nothing: dict[str, list[str]] = {"taken_up": [], "removed": [], "refused": [], "models": []}
    replies = Replies(broken, httpx.Response(200, json=nothing))
    assert ask(replies, "reload").removed == []
    assert replies.asked == 2


@pytest.mark.parametrize("how", ["live", "ready"])
def test_probes_are_asked_once(ask: Callable[..., Any], how: str) -> None:
    replies = Replies(problem(503, "overloaded"), httpx.Response(200, json=ALIVE))
    with pytest.raises(Overloaded):
        ask(replies, how)
    assert replies.asked == 1


def test_one_can_wait_for_a_server_that_starts(ask: Callable[..., Any]) -> None:
    starting = problem(503, "overloaded")
    replies = Replies(*[httpx.ConnectError] * 9, *[starting] * 9, httpx.Response(200, json={"status": "ready"}))
    assert ask(replies, "wait_until_ready").status == "ready"
    replies = Replies(starting, random=1)
    with pytest.raises(Overloaded):
        ask(replies, "wait_until_ready")
    assert 58 < replies.time.now <= 60


@pytest.mark.parametrize(("broken", "kind"), [(httpx.ReadTimeout, TimedOut), (httpx.ReadError, ConnectionFailed)])
def test_failures_of_the_network_are_the_clients_own(ask: Callable[..., Any], broken: Any, kind: type) -> None:
    with pytest.raises(ConnectionFailed, match="http://localhost:3000/v1/models: ") as caught:
        ask(Replies(broken), retry=Retry(attempts=2))
    assert type(caught.value) is kind
    assert isinstance(caught.value.__cause__, broken)


@pytest.mark.parametrize("broken", [httpx.LocalProtocolError, httpx.UnsupportedProtocol, httpx.ProxyError])
def test_failures_that_stay_are_not_asked_again(broken: Any) -> None:
    replies = Replies(broken, found())
    with pytest.raises(ConnectionFailed):
        replies.ask()
    assert replies.asked == 1


def test_a_certificate_that_is_not_trusted_is_not_asked_again() -> None:
    distrusted = httpx.ConnectError("certificate verify failed", request=httpx.Request("GET", "https://x/"))
    distrusted.__cause__ = ssl.SSLCertVerificationError("self-signed")
    replies = Replies(distrusted, found())
    with pytest.raises(ConnectionFailed, match="certificate verify failed"):
        replies.ask()
    assert replies.asked == 1


def test_a_redirect_says_where_it_leads() -> None:
    replies = Replies(httpx.Response(308, headers={"location": "https://other/"}))
    with pytest.raises(UnexpectedAnswer, match="308 and leads to https://other/"):
        replies.ask()


def test_a_refusal_that_is_no_problem_document_is_a_problem_all_the_same() -> None:
    with pytest.raises(Problem) as caught:
        Replies(httpx.Response(502, html="<h1>Bad\n Gateway</h1>")).ask()
    assert (caught.value.code, caught.value.detail) == ("http_502", "<h1>Bad Gateway</h1>")
    assert caught.value.request_id is None


def test_a_client_that_is_closed_meanwhile_gives_up() -> None:
    replies = Replies(problem(503))
    retry = Retry(total_seconds=3600, first_seconds=600, most_seconds=600)
    client = Client(transport=httpx.MockTransport(replies), retry=retry, random=lambda: 0.999)
    with ThreadPoolExecutor() as pool:
        asking = pool.submit(client.models)
        wait_until(lambda: replies.asked == 1)
        client.close()
        with pytest.raises(Problem):
            asking.result(SECONDS)
    assert replies.asked == 1


@pytest.mark.parametrize("options", [{"attempts": 0}, {"total_seconds": -1}, {"first_seconds": -1}])
def test_a_retry_that_makes_no_sense_is_refused(options: Any) -> None:
    with pytest.raises(ValueError, match=r"attempts|negative"):
        Retry(**options)
