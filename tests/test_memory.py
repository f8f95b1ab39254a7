from __future__ import annotations

import subprocess
import sys

PROGRAM = """
import threading
from pathlib import Path
import numpy as np
from phototriage.memory import LARGE_BYTES, give_back_large_blocks

def resident():
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmRSS"))

told = give_back_large_blocks()

def work():
    for size in (20, 12, 9, 7, 6):  # each freed block would make glibc keep the next smaller one
        large, small = np.ones(size << 20, np.uint8), bytearray(1000)
        del large

before = resident()
threads = [threading.Thread(target=work) for _ in range(4)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
print(int(told), resident() - before < LARGE_BYTES)
"""


def test_large_blocks_are_given_back() -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True)
    told, given_back = done.stdout.split()
    assert told == "0" or given_back == "True"
