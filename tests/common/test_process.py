from __future__ import annotations

import os
import subprocess
import sys
import threading

import pytest

from phototriage.common.process import current_core, leave_core

CHILD = """
import os, sys, time
from phototriage.common.process import end_with_parent
end_with_parent()
print(os.getpid(), flush=True)
time.sleep(60)
"""
PARENT = f"import subprocess, sys, time; subprocess.Popen([sys.executable, '-c', {CHILD!r}]); time.sleep(60)"


@pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="Linux's")
def test_a_thread_leaves_a_core_and_may_come_back() -> None:
    allowed = os.sched_getaffinity(0)
    found: list[object] = []

    def move() -> None:
        core = current_core()
        leave_core(core)
        found.extend([core, current_core(), os.sched_getaffinity(0)])

    thread = threading.Thread(target=move)
    thread.start()
    thread.join()
    core, after, mask = found
    assert core in allowed
    assert mask == allowed
    assert after in allowed
    leave_core(None)


@pytest.mark.skipif(sys.platform != "linux", reason="Linux's")
def test_a_worker_ends_with_its_parent() -> None:
    parent = subprocess.Popen([sys.executable, "-c", PARENT], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    with parent.stdout as output:
        assert int(output.readline()) > 0
        parent.kill()
        parent.wait()
        # The child holds the pipe open for as long as it lives.
        assert output.read() == ""
