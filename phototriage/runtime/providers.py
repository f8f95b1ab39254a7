"""Where ONNX Runtime computes: on the CPU or on a CUDA device, and never silently on the other one."""

from __future__ import annotations

import ctypes
import logging
from typing import Literal

import onnxruntime

Provider = Literal["auto", "cpu", "cuda"]

CPU, CUDA = "CPUExecutionProvider", "CUDAExecutionProvider"

logger = logging.getLogger(__name__)


class ProviderUnavailable(Exception):
    """CUDA was asked for and can't be had. The message says what is missing."""


def choose(wanted: Provider) -> list[str]:
    """ONNX Runtime's providers in order of preference. Raises ProviderUnavailable.

    ONNX Runtime lists CUDA as available wherever it was compiled in, so the driver is asked for a device.
    """
    if wanted == "cpu":
        return [CPU]
    if CUDA not in onnxruntime.get_available_providers():
        missing = "this build of ONNX Runtime has no CUDA: install onnxruntime-gpu"
    elif (devices := cuda_devices()) == 0:
        missing = "the machine shows no CUDA device: check the driver, or the container's access to it"
    else:
        logger.info("%d CUDA device(s)", devices)
        onnxruntime.preload_dlls()
        return [CUDA, CPU]
    if wanted == "cuda":
        raise ProviderUnavailable(f"The provider is set to cuda, but {missing}.")
    return [CPU]


def check(session: onnxruntime.InferenceSession, wanted: Provider, name: str) -> None:
    """Look whether a session runs where it was to. ONNX Runtime falls back to the CPU with a log line at most.

    Raises ProviderUnavailable if CUDA was asked for; with `auto`, a fallback is a warning.
    """
    got = session.get_providers()
    if wanted == "cuda" and CUDA not in got:
        raise ProviderUnavailable(
            f"The provider is set to cuda, but {name} got {', '.join(got)}: CUDA's or cuDNN's libraries are "
            "missing, or not of the version that this ONNX Runtime needs."
        )
    if wanted == "auto" and CUDA not in got and cuda_devices():
        logger.warning("There is a CUDA device, but %s got %s", name, ", ".join(got))


def cuda_devices() -> int:
    """How many CUDA devices the driver offers; 0 without a driver."""
    try:
        driver = ctypes.CDLL("libcuda.so.1")
    except OSError:
        return 0
    count = ctypes.c_int(0)
    if driver.cuInit(0) != 0 or driver.cuDeviceGetCount(ctypes.byref(count)) != 0:
        return 0
    return count.value
