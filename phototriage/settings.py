"""Limits and choices of a server, from the environment: `PHOTOTRIAGE_` and the field's name."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic_core import ErrorDetails
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from phototriage.common import shipped_models
from phototriage.images.pixels import ImageLimits

PREFIX = "PHOTOTRIAGE_"
EXPORTED_MODELS = Path("exported_models")  # where training exports to, below the working directory
MAX_DEADLINE_SECONDS = 60
CORES_OF_A_WORKER = 4
GPU_BATCH = 16
LEAST_KEY_LENGTH = 16
_ORIGIN = re.compile(r"[a-z][a-z0-9+.-]*://([a-z0-9._-]+|\[[0-9a-f:.]+\])(:[0-9]{1,5})?")
_OWN_PORTS = (("http", "80"), ("https", "443"))
DATABASES = ("postgresql://", "postgres://")  # what an address of collections begins with


class SettingsError(Exception):
    """A variable of the environment doesn't fit. The message names it and its value."""


class Settings(BaseSettings):
    """What a server is told from outside. Sizes in bytes and pixels, times in seconds."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, frozen=True)

    models_directory: Path = Field(
        default_factory=lambda: default_models_directory(),
        description="Folder of model folders; default: exported_models, else those of phototriage-models",
    )
    default_classifier: str | None = Field(
        default=None, description="Classifier that answers where none is named; else the manifest's choice"
    )
    default_embedder: str | None = Field(
        default=None, description="Embedder that answers where none is named; else the manifest's choice"
    )
    max_image_bytes: int = Field(default=20_000_000, ge=1, description="Size of one image file")
    max_image_pixels: int = Field(default=50_000_000, ge=1, description="Pixels of one image, checked before decoding")
    max_images: int = Field(default=64, ge=2, description="Images of one batch")
    max_request_bytes: int = Field(default=200_000_000, ge=1, description="Size of a whole request body")
    deadline_seconds: float = Field(
        default=10.0, gt=0, le=MAX_DEADLINE_SECONDS, description="From a request's head to its answer"
    )
    workers: int = Field(
        default_factory=lambda: default_workers(),
        ge=1,
        description="Processes of a server; default: one for every four cores, one in a container",
    )
    threads: int = Field(
        default_factory=lambda: max(1, available_cores() // default_workers()),
        ge=1,
        description="For decoding and models, in each process; default: the CPU quota, shared among the workers",
    )
    model_runs: int | None = Field(
        default=None, ge=1, description="Runs of a model at once; default of a server: a thread each, on a GPU one"
    )
    max_batch: int | None = Field(
        default=None, ge=1, description="Images that wait may share a run, up to so many; default: 1, on a GPU 16"
    )
    api_keys: Annotated[tuple[SecretStr, ...], NoDecode] = Field(
        default=(), description="Keys of those who may ask, separated by commas; without any, all may"
    )
    api_keys_file: Path | None = Field(
        default=None, description="File with a key a line, beside those; read again when it changes"
    )
    cors_origins: Annotated[tuple[str, ...], NoDecode] = Field(
        default=(),
        description="Origins whose pages may call from a browser, as https://photos.example, separated by commas; or *",
    )
    answer_cache_bytes: int = Field(
        default=0, ge=0, description="Memory for answers to images that may be sent again; 0: none are kept"
    )
    collections: str | Path | None = Field(
        default=None,
        repr=False,  # an address may have a password in it
        description="Where collections are kept: a folder, by one process, or postgresql://USER@HOST/DATABASE, which "
        "servers share; without it there are none",
    )
    max_collections: int = Field(default=100, ge=1, description="Collections that may be kept")
    max_collection_photos: int = Field(default=1_000_000, ge=1, description="Photos of one collection")
    log_requests: bool = Field(default=True, description="Whether each answer is a line of the log")
    provider: Literal["auto", "cpu", "cuda"] = Field(default="auto", description="What the models run on")

    @field_validator("api_keys", "cors_origins", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        return [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value

    @field_validator("cors_origins")
    @classmethod
    def _origins(cls, origins: tuple[str, ...]) -> tuple[str, ...]:
        """As browsers send them: in small letters, without a path, and without the port that a scheme has anyway."""
        if origins == ("*",):
            return origins
        for origin in origins:
            scheme, _, host = origin.lower().partition("://")
            if not _ORIGIN.fullmatch(origin.lower()) or (scheme, host.rpartition(":")[2]) in _OWN_PORTS:
                raise ValueError(
                    f"{origin!r} is not an origin as browsers send it: write https://photos.example or "
                    "http://localhost:8080, without a path and the scheme's own port, or * alone for all"
                )
        return tuple(dict.fromkeys(origin.lower() for origin in origins))

    @field_validator("api_keys")
    @classmethod
    def _long_enough(cls, keys: tuple[SecretStr, ...]) -> tuple[SecretStr, ...]:
        if any(len(key.get_secret_value()) < LEAST_KEY_LENGTH for key in keys):
            raise ValueError(f"a key is shorter than {LEAST_KEY_LENGTH} characters")
        return keys

    @model_validator(mode="before")
    @classmethod
    def _one_keeper(cls, values: dict[str, object]) -> dict[str, object]:
        """A folder of collections is kept by one process, so there is one, which has all threads."""
        if _names_folder(values.get("collections")) and values.get("workers") is None:
            threads = values.get("threads")
            return {**values, "workers": 1, "threads": available_cores() if threads is None else threads}
        return values

    @model_validator(mode="after")
    def _has_one_keeper(self) -> Self:
        if _names_folder(self.collections) and self.workers > 1:
            raise ValueError(
                f"a folder of collections is kept by one process, and PHOTOTRIAGE_WORKERS is {self.workers}; leave "
                "that out, or make it 1"
            )
        return self

    @property
    def threads_of_a_run(self) -> int:
        return max(1, self.threads // (self.model_runs or 1))

    def serving(self, gpu: bool) -> Settings:
        """With what is left to a server filled in. On a CPU a run a thread gives the most images a second, and batches
        bring nothing; a GPU is best fed by one run of many."""
        runs, batch = (1, GPU_BATCH) if gpu else (self.threads, 1)
        return self.model_copy(update={"model_runs": self.model_runs or runs, "max_batch": self.max_batch or batch})

    @property
    def image_limits(self) -> ImageLimits:
        return ImageLimits(max_bytes=self.max_image_bytes, max_pixels=self.max_image_pixels)


def is_secret(name: str, value: object) -> bool:
    """Whether the value of a setting isn't to be shown: keys, and an address, which may have a password in it."""
    return name == "api_keys" or (name == "collections" and is_address(str(value)))


def _names_folder(place: object) -> bool:
    return bool(place) and not is_address(str(place))


def is_address(place: str) -> bool:
    """Whether collections are in a database, and not in a folder."""
    return place.startswith(DATABASES)


def read_settings() -> Settings:
    """Settings from the environment. Raises SettingsError, which names each variable that doesn't fit."""
    try:
        settings = Settings()
    except ValidationError as error:
        problems = (
            f"{PREFIX}{str(part['loc'][0]).upper()}{_shown_input(part)}: {part['msg']}" for part in error.errors()
        )
        raise SettingsError("; ".join(problems)) from error
    try:
        _ = settings.image_limits
    except ValueError as error:
        raise SettingsError(f"{PREFIX}MAX_IMAGE_PIXELS: {error}") from error
    return settings


def _shown_input(error: ErrorDetails) -> str:
    """The value that doesn't fit, but for a secret."""
    return "" if is_secret(str(error["loc"][0]), error["input"]) else f"={error['input']!r}"


def default_models_directory() -> Path:
    """What one has exported oneself comes first. Where there is neither, loading says what to do."""
    return EXPORTED_MODELS if EXPORTED_MODELS.is_dir() else shipped_models.directory() or EXPORTED_MODELS


def default_workers() -> int:
    """One for every CORES_OF_A_WORKER cores, so that none is slowed by Python's lock; one in a container, whose
    platform starts more containers instead."""
    if os.environ.get("BENTOML_CONTAINERIZED"):
        return 1
    return max(1, available_cores() // CORES_OF_A_WORKER)


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
