from __future__ import annotations

import platform
import subprocess
import sys

ON_GLIBC = platform.libc_ver()[0] == "glibc"

PROGRAM = """
import threading
from pathlib import Path
import numpy as np
from phototriage.common.memory import LARGE_BYTES, give_back_large_blocks

def resident():
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmRSS"))

is_glibc = give_back_large_blocks()

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
print(int(is_glibc), resident() - before < LARGE_BYTES)
"""


def test_large_blocks_are_given_back() -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True)
    is_glibc, given_back = done.stdout.split()
    assert is_glibc == str(int(ON_GLIBC))
    assert given_back == "True" or not ON_GLIBC


KEPT = """
import resource
import threading
import numpy as np
from phototriage.common.memory import give_back_large_blocks

is_glibc = give_back_large_blocks()

def work():
    def taken():
        before = resource.getrusage(resource.RUSAGE_THREAD).ru_minflt
        for size in (3, 1, 2, 3):  # MB: an image's bytes, its pixels
            np.ones(size << 20, np.uint8)
        return resource.getrusage(resource.RUSAGE_THREAD).ru_minflt - before

    first = taken()
    print(int(is_glibc), first, max(taken() for _ in range(20)))

thread = threading.Thread(target=work)
thread.start()
thread.join()
"""


def test_smaller_blocks_are_kept_for_the_next_image() -> None:
    """Each page that is taken again costs a quarter of a microsecond at least: 1,000 of them a 12-megapixel photo."""
    done = subprocess.run([sys.executable, "-c", KEPT], capture_output=True, text=True, check=True)
    is_glibc, first, later = map(int, done.stdout.split())
    assert is_glibc == ON_GLIBC
    assert later < first / 10 or not ON_GLIBC
