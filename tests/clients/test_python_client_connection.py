"""What the Python client tells of itself, and which addresses and keys it takes."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
from phototriage_client import AsyncClient, Client


@pytest.mark.parametrize("kind", [Client, AsyncClient])
@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"url": "localhost:3000"}, "no address"),
        ({"url": "ftp://localhost"}, "no address"),
        ({"url": "http://"}, "no address"),
        ({"timeout": 0}, "timeout is 0 s"),
        ({"api_key": "sëcret"}, "API key"),
        ({"api_key": "secret\n"}, "API key"),
        ({"api_key": ""}, "API key"),
    ],
)
def test_options_that_can_not_be_are_refused_at_once(kind: type, options: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message) as caught:
        kind(**options)
    assert "secret" not in str(caught.value)


def test_the_key_goes_as_a_bearer_below_the_address_that_was_given() -> None:
    sent: list[httpx.Request] = []

    def take(request: httpx.Request) -> httpx.Response:
        sent.append(request)
        return httpx.Response(200, json={"models": []})

    with Client("https://example.test/photos/", api_key="k" * 16, transport=httpx.MockTransport(take)) as client:
        client.models()
    assert str(sent[0].url) == "https://example.test/photos/v1/models"
    assert sent[0].headers["authorization"] == "Bearer " + "k" * 16
    assert sent[0].headers["user-agent"].startswith("phototriage-client/")
