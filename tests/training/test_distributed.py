"""Several ranks that share batches give the same run as one process."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from ast import literal_eval
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.training.models import case
from tests.training.resuming import KINDS
from vaekit.bundle.read import read_manifest
from vaekit.errors import DeviceError
from vaekit_training.loop.distributed import World, world
from vaekit_training.loop.fit import fit
from vaekit_training.network_rows import network_rows

ROOT = Path(__file__).parents[2]
SETTINGS = [
    "training.steps=50", "training.evaluate_every=1", "training.batch_size=16", "training.learning_rate=0.003",
    "training.patience=100", "objective.free_bits=0.05",
]  # fmt: skip


def ranks(count: int, *arguments: str, cwd: Path) -> list[str]:
    """The output of each rank, started with torchrun's environment; fails if any rank fails."""
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = free.getsockname()[1]
    shared = {"WORLD_SIZE": str(count), "MASTER_ADDR": "localhost", "MASTER_PORT": str(port), "OMP_NUM_THREADS": "1"}
    processes = [
        subprocess.Popen(
            [sys.executable, *arguments], cwd=cwd, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            env={**os.environ, **shared, "RANK": str(r), "LOCAL_RANK": str(r), "PYTHONPATH": str(ROOT)},
        )
        for r in range(count)
    ]  # fmt: skip
    said = [process.communicate(timeout=580) for process in processes]
    assert [process.returncode for process in processes] == [0] * count, said
    return [out for out, _ in said]


@pytest.mark.slow
@pytest.mark.timeout(600)  # three processes import torch at once, and one exports graphs
def test_two_ranks_have_the_losses_of_one_process(tmp_path: Path) -> None:
    """Every step is validated, so that its loss is reported."""
    said = ranks(2, "-m", "tests.training.resuming", str(tmp_path), *SETTINGS, cwd=tmp_path)
    lines = [line for line in said[0].splitlines() if line.startswith("objectives")]
    assert said[1] == ""
    losses = literal_eval(lines[0].removeprefix("objectives "))
    one = case(KINDS["normal"], *SETTINGS)
    rows = network_rows(one.vae, one.rows.x)
    history = fit(one.vae, rows.slice(0, 30), rows.slice(30, 40), one.config)
    alone = [validation.train_objective for validation in history.validations]
    assert len(losses) == len(alone) == 50
    assert np.abs(np.subtract(losses, alone) / np.array(alone)).max() <= 1e-6
    assert abs(alone[-1] - alone[0]) > 0.05  # training had an effect


@pytest.mark.slow
@pytest.mark.timeout(600)  # three processes import torch at once, and one exports graphs
def test_only_the_first_rank_publishes(tmp_path: Path) -> None:
    x = np.random.default_rng(0).standard_normal((80, 3))
    np.save(tmp_path / "rows.npy", x)
    quick = ["--set", "training.steps=20", "--set", "network.hidden=[8]", "--set", "network.latent_dim=2"]
    said = ranks(2, "-m", "vaekit", "train", "rows.npy", *quick, "--device", "cpu", cwd=tmp_path)
    assert [p.name for p in (tmp_path / "models" / "rows").iterdir()] == ["1"]
    assert [p.name for p in (tmp_path / "runs" / "rows").iterdir()] == ["1"]
    assert said[0].split() == ["models/rows/1"]
    assert said[1] == ""
    assert read_manifest(tmp_path / "models" / "rows" / "1").metrics["best_step"].value == 20


@pytest.mark.parametrize(("ranks", "rows"), [(1, 5), (2, 5), (3, 16), (4, 3)])
def test_every_row_of_a_batch_belongs_to_one_rank(ranks: int, rows: int) -> None:
    shares = [World(rank, ranks).share(rows) for rank in range(ranks)]
    assert [i for first, last in shares for i in range(first, last)] == list(range(rows))


def test_a_single_rank_does_not_communicate() -> None:
    alone = World()
    tensor = torch.ones(2)
    assert alone.is_first
    assert alone.sum(tensor) is tensor
    assert alone.from_first("mine") == "mine"
    assert not alone.any(False, torch.device("cpu"))


def test_ranks_cannot_share_one_cuda_device(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(DeviceError, match="device cuda:1: 2 ranks cannot share it"), world("cuda:1"):
        pass
