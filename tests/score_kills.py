"""`phototriage score`, killed ten times at random moments: `python -m tests.score_kills`, a part of `make check-full`.

Half of the kills hit the command, half one of its workers, which it has to replace. The file in the end must be that
of an undisturbed run, to the byte.
"""

from __future__ import annotations

import argparse
import hashlib
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import psutil
from PIL import Image
from pyarrow import parquet

from phototriage.scoring import parts as score_parts

WIDTH, HEIGHT = 500, 375


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=1500)
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as scratch:
        folder = draw(Path(scratch) / "photos", given.images)
        began = time.monotonic()
        whole = Path(scratch) / "whole.parquet"
        run(start(folder, whole, Path(scratch) / "index_whole"))
        seconds = time.monotonic() - began
        print(f"undisturbed: {seconds:.1f} s, sha256 {digest(whole)[:16]}", flush=True)
        killed = Path(scratch) / "killed.parquet"
        kill_often(folder, killed, Path(scratch) / "index", given.kills, seconds, random.Random(given.seed))
        names = parquet.read_table(killed, columns=["name"]).column(0).to_pylist()
        same = digest(killed) == digest(whole)
        print(f"{len(names)} rows, {len(set(names))} names, of {given.images}; the same file: {same}")
    return 0 if same and len(names) == len(set(names)) == given.images else 1


def draw(folder: Path, count: int) -> Path:
    """JPEGs of coloured noise, each of its own."""
    folder.mkdir()
    draw = np.random.default_rng(0)
    for number in range(count):
        small = draw.integers(0, 256, (15, 20, 3), np.uint8)
        Image.fromarray(small).resize((WIDTH, HEIGHT), Image.Resampling.BICUBIC).save(folder / f"{number:05}.jpg")
    return folder


def kill_often(folder: Path, output: Path, index: Path, kills: int, seconds: float, chance: random.Random) -> None:
    """Start the command until it has ended by itself, and kill it or a worker so often meanwhile."""
    done = 0
    while True:
        process = start(folder, output, index)
        while done < kills:
            wait_for_a_part(output, process)
            time.sleep(chance.random() * seconds / kills)
            if process.poll() is not None:
                break
            done += 1
            victim = choose(process.pid, chance)
            victim.kill()
            print(f"kill {done}: {'the command' if victim.pid == process.pid else 'a worker'}", flush=True)
            if victim.pid == process.pid:
                process.wait()
                break
        else:
            run(process)
            return
        if process.returncode == 0:
            if done < kills:
                raise RuntimeError(f"It was done after {done} kills. Give it more images.")
            return


def wait_for_a_part(output: Path, process: subprocess.Popen[bytes]) -> None:
    """Until something more is done than there is, or the command has ended."""
    parts = score_parts.folder_of(output)
    there = len(list(parts.glob("*.parquet")))
    while process.poll() is None and len(list(parts.glob("*.parquet"))) <= there:
        time.sleep(0.01)


def choose(command: int, chance: random.Random) -> psutil.Process:
    """The command itself, or one of its workers, which are its forkserver's children."""
    process = psutil.Process(command)
    workers = [each for child in process.children() for each in child.children()]
    return chance.choice(workers) if workers and chance.random() < 0.5 else process


def start(folder: Path, output: Path, index: Path) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "phototriage.cli", "score", str(folder), "-o", str(output)]
    return subprocess.Popen([*command, "--index", str(index)], stderr=subprocess.DEVNULL)


def run(process: subprocess.Popen[bytes]) -> None:
    if process.wait() != 0:
        raise RuntimeError(f"The command ended with {process.returncode}")


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


if __name__ == "__main__":
    sys.exit(main())
