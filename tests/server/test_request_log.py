from __future__ import annotations

import io
import json
import sys
from datetime import UTC, datetime

import pytest

from phototriage.server import request_log
from phototriage.server.request_log import trace_of

TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"  # the example of W3C Trace Context


def test_a_callers_trace_goes_on_with_a_step_of_our_own() -> None:
    trace = trace_of(f"00-{TRACE}-{PARENT}-01".encode())
    assert trace.trace_id == TRACE
    assert trace.flags == "01"
    assert trace.span_id != PARENT
    assert trace.header == f"00-{TRACE}-{trace.span_id}-01".encode()
    assert trace_of(f"01-{TRACE}-{PARENT}-00-what-may-come".encode()).trace_id == TRACE


@pytest.mark.parametrize(
    "header",
    [
        None,
        b"",
        b"rubbish",
        f"00-{TRACE.upper()}-{PARENT}-01".encode(),
        f"ff-{TRACE}-{PARENT}-01".encode(),
        f"00-{'0' * 32}-{PARENT}-01".encode(),
        f"00-{TRACE}-{'0' * 16}-01".encode(),
        f"00-{TRACE}-{PARENT}-01-more".encode(),
        f"00-{TRACE}-{PARENT}-01\n".encode(),
    ],
)
def test_what_is_no_trace_begins_a_new_one(header: bytes | None) -> None:
    one, other = trace_of(header), trace_of(header)
    assert TRACE not in (one.trace_id, one.trace_id.upper())
    assert one.trace_id != other.trace_id
    assert (len(one.trace_id), len(one.span_id), one.flags) == (32, 16, "00")


def test_a_line_is_json(capfd: pytest.CaptureFixture[str]) -> None:
    trace = trace_of(None)
    request_log.write(trace, "POST", "/v1/classify", 200, 0.0123)
    text = capfd.readouterr().err
    line = json.loads(text)
    assert text == json.dumps(line) + "\n"
    assert abs((datetime.now(UTC) - datetime.fromisoformat(line.pop("time"))).total_seconds()) < 60
    assert line == {
        "level": "info",
        "message": "answered",
        "request_id": trace.trace_id,
        "span_id": trace.span_id,
        "method": "POST",
        "route": "/v1/classify",
        "status": 200,
        "milliseconds": 12.3,
    }


@pytest.mark.parametrize("error", [BrokenPipeError, ValueError])
def test_a_line_that_nobody_takes_is_lost_and_no_more(monkeypatch: pytest.MonkeyPatch, error: type[Exception]) -> None:
    class Gone(io.StringIO):
        def write(self, text: str) -> int:
            raise error

    monkeypatch.setattr(sys, "stderr", Gone())
    request_log.write(trace_of(None), "GET", "/livez", 200, 0.1)


def test_a_process_without_stderr_writes_no_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", None)
    request_log.write(trace_of(None), "GET", "/livez", 200, 0.1)
