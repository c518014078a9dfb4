"""Threads and memory of a loaded model, measured in a new process."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest


def in_new_process(code: str) -> int:
    """The number that the code prints in a new process."""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=100)
    return int(done.stdout)


THREADS = """
import os
from vaekit import Model
model = Model.load({folder!r}, device="cpu", threads={threads})
model.elbo([[1.0] * 30])
print(len(os.listdir("/proc/self/task")))
"""


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="reads /proc")
def test_each_graph_has_its_own_threads_beside_the_thread_of_the_caller(models_dir):
    folder = str(models_dir / "breast-cancer")
    alone, two, three = (in_new_process(THREADS.format(folder=folder, threads=n)) for n in (1, 2, 3))
    assert (two - alone, three - alone) == (6, 12)  # six graphs


MEMORY = """
import numpy as np
from vaekit import Model
def resident():
    [line] = [line for line in open("/proc/self/status") if line.startswith("VmRSS")]
    return int(line.split()[1])
model = Model.load({folder!r}, device="cpu", threads=1)
x = np.ones((512, 30))
sizes = [resident()]
for features in (False, True):
    model.elbo(x, features=features)
    sizes.append(resident())
print(100 * (sizes[2] - sizes[1]) // (sizes[1] - sizes[0]))
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads /proc")
def test_graphs_share_one_memory_arena(models_dir):
    percent = in_new_process(MEMORY.format(folder=str(models_dir / "breast-cancer")))
    assert percent < 50  # memory growth by the second graph as a percentage of that by the first
