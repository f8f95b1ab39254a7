"""Limits and choices of a server, from the environment: `PHOTOTRIAGE_` and the field's name."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from pydantic import Field, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from phototriage.images import ImageLimits

PREFIX = "PHOTOTRIAGE_"
MAX_DEADLINE_SECONDS = 60


class SettingsError(Exception):
    """A variable of the environment doesn't fit. The message names it and its value."""


class Settings(BaseSettings):
    """What a server is told from outside. Sizes in bytes and pixels, times in seconds."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, frozen=True)

    models_directory: Path = Field(default=Path("exported_models"), description="Folder of model folders")
    default_classifier: str | None = Field(
        default=None, description="Classifier that answers where none is named; else the manifest's choice"
    )
    default_embedder: str | None = Field(
        default=None, description="Embedder that answers where none is named; else the manifest's choice"
    )
    max_image_bytes: int = Field(default=20_000_000, ge=1, description="Size of one image file")
    max_image_pixels: int = Field(default=50_000_000, ge=1, description="Pixels of one image, checked before decoding")
    max_request_bytes: int = Field(default=200_000_000, ge=1, description="Size of a whole request body")
    deadline_seconds: float = Field(
        default=10.0, gt=0, le=MAX_DEADLINE_SECONDS, description="From a request's head to its answer"
    )
    threads: int = Field(
        default_factory=lambda: available_cores(), ge=1, description="For the models; default: the CPU quota"
    )
    provider: Literal["auto", "cpu", "cuda"] = Field(default="auto", description="What the models run on")

    @property
    def image_limits(self) -> ImageLimits:
        return ImageLimits(max_bytes=self.max_image_bytes, max_pixels=self.max_image_pixels)


def read_settings() -> Settings:
    """Settings from the environment. Raises SettingsError, which names each variable that doesn't fit."""
    try:
        settings = Settings()
    except ValidationError as error:
        wrong = (f"{PREFIX}{str(part['loc'][0]).upper()}={part['input']!r}: {part['msg']}" for part in error.errors())
        raise SettingsError("; ".join(wrong)) from error
    try:
        _ = settings.image_limits
    except ValueError as error:
        raise SettingsError(f"{PREFIX}MAX_IMAGE_PIXELS: {error}") from error
    return settings


def available_cores(root: Path = Path("/")) -> int:
    """Whole cores that this process may use: the least of its affinity and the CPU quotas of its cgroups.

    A quota is rounded down, but not below one: a thread more than the quota has the kernel stop all of them for
    the rest of each period. ONNX Runtime alone would count the host's cores. `root` stands in for `/` in tests.
    """
    affinity = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, math.floor(min([float(affinity), *_quotas(root)])))


def _quotas(root: Path) -> Iterator[float]:
    """CPU quotas, in cores, of the process's cgroups and of the groups above them; versions 1 and 2."""
    try:
        lines = (root / "proc/self/cgroup").read_text().splitlines()
    except OSError:
        return
    mount = root / "sys/fs/cgroup"
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if not controllers:
            read, base = _quota_v2, mount
        elif "cpu" in controllers.split(","):
            read, base = _quota_v1, mount / controllers
            if not base.is_dir():
                base = mount / "cpu"
        else:
            continue
        group = base / path.lstrip("/")
        # In a container the path may be the host's, of which only the root is mounted.
        for folder in {base, group, *(parent for parent in group.parents if parent.is_relative_to(base))}:
            quota = read(folder)
            if quota is not None:
                yield quota


def _quota_v2(group: Path) -> float | None:
    try:
        quota, period = (group / "cpu.max").read_text().split()
        return None if quota == "max" else int(quota) / int(period)
    except (OSError, ValueError):
        return None


def _quota_v1(group: Path) -> float | None:
    try:
        quota = int((group / "cpu.cfs_quota_us").read_text())
        return None if quota <= 0 else quota / int((group / "cpu.cfs_period_us").read_text())
    except (OSError, ValueError):
        return None
