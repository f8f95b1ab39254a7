"""A failure is named when it happens, not minutes later, also where processes share the tests."""

from __future__ import annotations

import pytest


class FailuresAtOnce:
    """A plugin of the process that reports."""

    def __init__(self, terminal: pytest.TerminalReporter) -> None:
        self._terminal = terminal

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed:
            crash = getattr(report.longrepr, "reprcrash", None)
            first, *_ = (crash.message if crash else report.longreprtext).splitlines() or [""]
            stage = "" if report.when == "call" else f" at {report.when}"
            self._terminal.ensure_newline()
            self._terminal.write_line(f"FAILED{stage} {report.nodeid}: {first}", red=True)


@pytest.hookimpl(trylast=True)  # when there is a terminal to write to
def pytest_configure(config: pytest.Config) -> None:
    terminal = config.pluginmanager.get_plugin("terminalreporter")
    if terminal is not None and not hasattr(config, "workerinput"):
        config.pluginmanager.register(FailuresAtOnce(terminal), "failures_at_once")
