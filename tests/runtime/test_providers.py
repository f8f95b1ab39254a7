from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from phototriage.runtime import providers
from phototriage.runtime.providers import CPU, CUDA, ProviderUnavailable, check, choose


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Pretend a build of ONNX Runtime and a number of CUDA devices."""

    def pretend(compiled: bool, devices: int) -> None:
        available = [CUDA, CPU] if compiled else [CPU]
        runtime = SimpleNamespace(get_available_providers=lambda: available, preload_dlls=lambda: None)
        monkeypatch.setattr(providers, "onnxruntime", runtime)
        monkeypatch.setattr(providers, "cuda_devices", lambda: devices)

    return pretend


def session(*got: str) -> Any:
    return SimpleNamespace(get_providers=lambda: list(got))


@pytest.mark.parametrize(
    ("compiled", "devices", "chosen"), [(True, 1, [CUDA, CPU]), (True, 0, [CPU]), (False, 1, [CPU]), (False, 0, [CPU])]
)
def test_auto_takes_what_is_there(machine: Any, compiled: bool, devices: int, chosen: list[str]) -> None:
    machine(compiled, devices)
    assert choose("auto") == chosen


def test_cpu_is_cpu_also_beside_a_device(machine: Any) -> None:
    machine(True, 1)
    assert choose("cpu") == [CPU]


def test_cuda_without_a_build_or_a_device_is_loud(machine: Any) -> None:
    machine(False, 1)
    with pytest.raises(ProviderUnavailable, match="onnxruntime-gpu"):
        choose("cuda")
    machine(True, 0)
    with pytest.raises(ProviderUnavailable, match="no CUDA device"):
        choose("cuda")


def test_a_silent_fallback_from_cuda_is_loud(machine: Any, caplog: pytest.LogCaptureFixture) -> None:
    machine(True, 1)
    with pytest.raises(ProviderUnavailable, match="tiny got CPUExecutionProvider"):
        check(session(CPU), "cuda", "tiny")
    check(session(CPU), "auto", "tiny")
    assert "tiny got CPUExecutionProvider" in caplog.text
    check(session(CUDA, CPU), "cuda", "tiny")
    check(session(CPU), "cpu", "tiny")


def test_devices_are_counted_without_failing() -> None:
    assert providers.cuda_devices() >= 0
