from __future__ import annotations

import os
from pathlib import Path

import pytest

from phototriage.settings import Settings, SettingsError, available_cores, read_settings


@pytest.fixture(autouse=True)
def _bare_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith("PHOTOTRIAGE_"):
            monkeypatch.delenv(name)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)), raising=False)


def test_defaults_are_those_of_the_contract() -> None:
    settings = read_settings()
    assert settings.models_directory == Path("exported_models")
    assert settings.max_image_bytes == 20_000_000
    assert settings.max_image_pixels == 50_000_000
    assert settings.max_request_bytes == 200_000_000
    assert settings.deadline_seconds == 10
    assert settings.provider == "auto"
    assert settings.default_classifier is None


def test_environment_overrides(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PHOTOTRIAGE_MAX_IMAGE_PIXELS", "1000")
    monkeypatch.setenv("PHOTOTRIAGE_THREADS", "3")
    settings = read_settings()
    assert settings.image_limits.max_pixels == 1000
    assert settings.threads == 3


@pytest.mark.parametrize(
    ("name", "value"),
    [("THREADS", "0"), ("THREADS", "many"), ("PROVIDER", "tpu"), ("DEADLINE_SECONDS", "-1"), ("MAX_IMAGE_BYTES", "")],
)
def test_a_value_that_does_not_fit_is_named(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    monkeypatch.setenv(f"PHOTOTRIAGE_{name}", value)
    with pytest.raises(SettingsError, match=f"PHOTOTRIAGE_{name}={value!r}"):
        read_settings()


def test_pixels_above_the_decoders_own_bound_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PHOTOTRIAGE_MAX_IMAGE_PIXELS", "1000000000")
    with pytest.raises(SettingsError, match="PHOTOTRIAGE_MAX_IMAGE_PIXELS"):
        read_settings()


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def test_cores_without_a_quota_are_those_of_the_affinity(tmp_path: Path) -> None:
    assert available_cores(tmp_path) == 8


@pytest.mark.parametrize(("quota", "cores"), [("200000 100000", 2), ("150000 100000", 1), ("50000 100000", 1)])
def test_quota_of_cgroup_2(tmp_path: Path, quota: str, cores: int) -> None:
    write(tmp_path / "proc/self/cgroup", "0::/kubepods/pod\n")
    write(tmp_path / "sys/fs/cgroup/kubepods/pod/cpu.max", quota)
    assert available_cores(tmp_path) == cores


def test_quota_of_a_group_above(tmp_path: Path) -> None:
    write(tmp_path / "proc/self/cgroup", "0::/slice/unit\n")
    write(tmp_path / "sys/fs/cgroup/slice/cpu.max", "300000 100000")
    write(tmp_path / "sys/fs/cgroup/slice/unit/cpu.max", "max 100000")
    assert available_cores(tmp_path) == 3


def test_quota_of_cgroup_2_inside_a_container(tmp_path: Path) -> None:
    write(tmp_path / "proc/self/cgroup", "0::/host/path/that/is/not/mounted\n")
    write(tmp_path / "sys/fs/cgroup/cpu.max", "400000 100000")
    assert available_cores(tmp_path) == 4


@pytest.mark.parametrize("folder", ["cpu,cpuacct", "cpu"])
def test_quota_of_cgroup_1(tmp_path: Path, folder: str) -> None:
    write(tmp_path / "proc/self/cgroup", "3:memory:/docker/x\n2:cpu,cpuacct:/docker/x\n")
    write(tmp_path / f"sys/fs/cgroup/{folder}/cpu.cfs_quota_us", "250000")
    write(tmp_path / f"sys/fs/cgroup/{folder}/cpu.cfs_period_us", "100000")
    assert available_cores(tmp_path) == 2


def test_cgroup_1_without_a_quota(tmp_path: Path) -> None:
    write(tmp_path / "proc/self/cgroup", "2:cpu:/\n")
    write(tmp_path / "sys/fs/cgroup/cpu/cpu.cfs_quota_us", "-1")
    write(tmp_path / "sys/fs/cgroup/cpu/cpu.cfs_period_us", "100000")
    assert available_cores(tmp_path) == 8


@pytest.mark.parametrize(
    ("value", "origins"),
    [
        ("", ()),
        ("*", ("*",)),
        ("https://photos.example", ("https://photos.example",)),
        (
            "https://Photos.example, http://localhost:8080,http://[::1]:3,https://photos.example",
            ("https://photos.example", "http://localhost:8080", "http://[::1]:3"),
        ),
        ("capacitor://localhost,chrome-extension://abc", ("capacitor://localhost", "chrome-extension://abc")),
    ],
)
def test_origins(monkeypatch: pytest.MonkeyPatch, value: str, origins: tuple[str, ...]) -> None:
    monkeypatch.setenv("PHOTOTRIAGE_CORS_ORIGINS", value)
    assert read_settings().cors_origins == origins


@pytest.mark.parametrize(
    "value",
    [
        *("photos.example", "https://photos.example/", "https://a.example/app", "https://*.example", "null"),
        *("https://photos.example:443", "http://photos.example:80", "*,https://photos.example", "https://"),
        *("https://kätzchen.example", "https://me@photos.example", "https://a.example https://b.example"),
    ],
)
def test_what_no_browser_sends_as_an_origin_is_refused(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv("PHOTOTRIAGE_CORS_ORIGINS", value)
    with pytest.raises(SettingsError, match=r"PHOTOTRIAGE_CORS_ORIGINS=.* without a path"):
        read_settings()


def test_settings_do_not_change() -> None:
    with pytest.raises(ValueError, match="frozen"):
        Settings().threads = 4
