"""On what a training runs: the device, worker processes, and the precision of its arithmetic."""

from __future__ import annotations

import platform
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace

import torch

CPU = torch.device("cpu")


@dataclass(frozen=True)
class Compute:
    """The device, how many processes load images (0: none), and whether networks compute in bfloat16; their weights
    stay float32."""

    device: torch.device = CPU
    workers: int = 0
    bf16: bool = False

    def precision(self) -> AbstractContextManager[object]:
        """The context in which networks are called."""
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.bf16)

    def in_float32(self) -> Compute:
        """The same in float32: the arithmetic of serving, in which figures are measured."""
        return replace(self, bf16=False)

    def __str__(self) -> str:
        return f"{hardware(self.device)}{', bf16' if self.bf16 else ''}"


def use_bf16(precision: str, device: torch.device = CPU) -> bool:
    """Whether to compute in bfloat16: as `precision` says (auto, float32, bf16), or where the hardware does."""
    if precision != "auto":
        return precision == "bf16"
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    capabilities = torch.cpu.get_capabilities()
    return bool(capabilities.get("avx512_bf16") or capabilities.get("amx_bf16"))


def hardware(device: torch.device = CPU) -> str:
    """What computes: processor or GPU, and how many threads."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    name = torch.cpu.get_capabilities().get("cpu_name") or platform.processor() or platform.machine()
    return f"{name}, {torch.get_num_threads()} threads"
