from __future__ import annotations

import subprocess
import sys
from pathlib import Path

CHILD = "import signal; print(signal.getsignal(signal.SIGINT) is signal.default_int_handler)"
PARENT = f"""
import signal, subprocess, sys
child = [sys.executable, "-c", {CHILD!r}]
signal.signal(signal.SIGINT, signal.SIG_IGN)
before = subprocess.check_output(child, text=True)
from tests.interrupts import heed_interrupts
heed_interrupts()
print(before.strip(), subprocess.check_output(child, text=True).strip())
"""


def test_children_heed_interrupts_where_this_process_was_started_with_them_ignored() -> None:
    root = Path(__file__).parents[1]
    assert subprocess.check_output([sys.executable, "-c", PARENT], cwd=root, text=True) == "False True\n"
