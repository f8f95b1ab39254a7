"""What a process and all that it started cost, from /proc: CPU seconds and memory."""

from __future__ import annotations

import os
from pathlib import Path

PROC = Path("/proc")


def tree(root: int) -> list[int]:
    """The process and its living descendants."""
    parents = {}
    for folder in PROC.iterdir():
        if folder.name.isdigit() and (fields := _stat(int(folder.name))):
            parents[int(folder.name)] = int(fields[1])
    found, new = {root}, {root}
    while new:
        new = {process for process, parent in parents.items() if parent in new} - found
        found |= new
    return sorted(found & parents.keys())


def cpu_seconds(processes: list[int]) -> float:
    """User and system time of all of them so far, in steps of the kernel's clock tick, 10 ms as a rule."""
    ticks = sum(int(fields[11]) + int(fields[12]) for each in processes if (fields := _stat(each)))
    return ticks / os.sysconf("SC_CLK_TCK")


def machine_cpu_seconds() -> float:
    """Time that all cores were busy so far, whoever kept them so, and that a hypervisor took from them."""
    user, nice, system, _, _, *others = map(int, (PROC / "stat").read_text().split("\n")[0].split()[1:9])
    return (user + nice + system + sum(others)) / os.sysconf("SC_CLK_TCK")


def memory_bytes(processes: list[int]) -> int:
    """Proportional set size: a page that several processes share, also of another server, counts for each in part."""
    total = 0
    for each in processes:
        try:
            lines = (PROC / str(each) / "smaps_rollup").read_text().splitlines()
        except (OSError, ValueError):
            continue
        total += sum(int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:"))
    return total


def _stat(process: int) -> list[str]:
    """Fields of stat from the state on; empty where the process is gone. Its name may hold spaces and brackets."""
    try:
        return (PROC / str(process) / "stat").read_text().rpartition(")")[2].split()
    except OSError:
        return []
