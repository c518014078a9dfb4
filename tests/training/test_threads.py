"""Fits that run at once in threads of one process: each gives what it gives alone, and leaves torch as it was."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from vaekit import Detector
from vaekit_training.seeded import Seeded
from vaekit_training.threads import cpu_threads

TABLE = np.random.default_rng(0).normal(size=(120, 3)).cumsum(axis=1)
IMAGES = np.random.default_rng(0).integers(0, 256, (60, 8, 8, 1), dtype=np.uint8)
KINDS = {
    "members under an aggregate prior": (TABLE, "auto", {"training.steps": 40}),
    "one member": (TABLE, "gaussian", {"training.steps": 40}),
    "binary columns": ((TABLE > 0).astype(float), "bernoulli", {"training.steps": 40}),
    "convolutions": (IMAGES, "gaussian", {"training.steps": 3, "network": {"name": "conv", "channels": [4, 8]}}),
}


def scores(kind: str, seed: int) -> NDArray[np.float64]:
    x, likelihood, settings = KINDS[kind]
    return Detector(alpha=0.2, likelihood=likelihood, settings=settings, random_state=seed).fit(x).score_samples(x[:20])


def test_fits_at_once_are_those_of_one_after_another() -> None:
    jobs = [(kind, seed) for kind in KINDS for seed in (0, 1)]
    alone = [scores(*job) for job in jobs]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(scores, *zip(*(jobs * 2), strict=True)))
    for job, one, other in zip(jobs * 2, alone * 2, together, strict=True):
        np.testing.assert_array_equal(one, other, err_msg=str(job))


def test_a_fit_does_not_touch_the_global_generators() -> None:
    torch.manual_seed(5)
    np.random.seed(5)
    before = torch.random.get_rng_state(), np.random.get_state()[1].tolist()  # type: ignore[index]  # a tuple
    scores("one member", 3)
    assert torch.equal(torch.random.get_rng_state(), before[0])
    assert np.random.get_state()[1].tolist() == before[1]  # type: ignore[index]  # a tuple


@pytest.mark.parametrize("layer", [lambda: torch.nn.Linear(3, 4), lambda: torch.nn.Conv2d(2, 3, 3)])
def test_seeded_layers_start_as_after_manual_seed(layer: object) -> None:
    assert callable(layer)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(9)
        wanted = [p.detach().clone() for p in layer().parameters()]
    with Seeded(9):
        found = list(layer().parameters())
    assert all(torch.equal(a, b) for a, b in zip(wanted, found, strict=True))


def test_blocks_that_overlap_restore_the_number_of_threads() -> None:
    before, inside, first_left = torch.get_num_threads(), threading.Barrier(2), threading.Event()

    def first() -> None:
        with cpu_threads(before + 1):
            inside.wait()
            inside.wait()
        first_left.set()

    def second() -> None:
        inside.wait()
        with cpu_threads(before + 2):
            inside.wait()
            first_left.wait()

    with ThreadPoolExecutor(2) as pool:
        for done in [pool.submit(first), pool.submit(second)]:
            done.result()
    found: list[int] = []
    later = threading.Thread(target=lambda: found.append(torch.get_num_threads()))
    later.start()
    later.join()
    assert found == [before]


def test_a_fit_in_a_forked_child_ends_and_gives_the_same() -> None:
    """torch's threads stay with the parent; a child that waited for them would never end."""
    script = """
        import os, sys
        import numpy as np
        import torch
        from vaekit import Detector

        torch.set_num_threads(2)
        torch.ones(1000, 1000) @ torch.ones(1000, 1000)
        x = np.random.default_rng(0).normal(size=(120, 3))
        fit = lambda: Detector(alpha=0.2, likelihood="gaussian", settings={"training.steps": 5}).fit(x)
        before = fit().score_samples(x)
        pid = os.fork()
        if pid == 0:
            os._exit(0 if np.allclose(fit().score_samples(x), before, rtol=1e-6) else 1)
        sys.exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
    """
    environment = {**os.environ, "OMP_NUM_THREADS": "2"}
    code = textwrap.dedent(script)
    assert subprocess.run([sys.executable, "-c", code], timeout=120, env=environment).returncode == 0


def test_a_block_in_another_one_restores_the_number_of_the_other() -> None:
    before = torch.get_num_threads()
    with cpu_threads(before + 2):
        with cpu_threads(before + 1):
            assert torch.get_num_threads() == before + 1
        assert torch.get_num_threads() == before + 2
    assert torch.get_num_threads() == before
