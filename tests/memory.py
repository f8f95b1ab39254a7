"""What a tree of processes is and holds, by Linux's /proc."""

from __future__ import annotations

from pathlib import Path


def process_tree(root: int) -> frozenset[int]:
    """The process and all that it started, by id."""
    found, waiting = {root}, [root]
    while waiting:
        for children in Path(f"/proc/{waiting.pop()}/task").glob("*/children"):
            new = {int(each) for each in children.read_text().split()} - found
            found |= new
            waiting += new
    return frozenset(found)


def resident_bytes(processes: frozenset[int]) -> int:
    """Memory of all of them together; what several share counts once (PSS)."""
    lines = (line for each in processes for line in Path(f"/proc/{each}/smaps_rollup").read_text().splitlines())
    return sum(int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:"))
