"""A run that needs more memory than is free is refused, and the message states how many members fit."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch

from vaekit.errors import ConfigError
from vaekit_training import memory
from vaekit_training.config import Config, make_config

CPU = torch.device("cpu")


def _config(members: int, *more: str) -> Config:
    tree = {"name": "m", "data": {"source": "x"}, "network": {"members": members, "hidden": [1000]}}
    return make_config(tree, list(more))


def test_a_run_that_fits_is_not_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "available", lambda _: 10**9)
    memory.check_memory(_config(8), CPU, 100_000, 30, 60)


def test_a_refusal_names_the_number_of_members_that_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "available", lambda _: 10**9)
    with pytest.raises(
        ConfigError, match=r"network\.members: 5000 need about .* GB .* 1 GB are free on cpu"
    ) as refused:
        memory.check_memory(_config(5000), CPU, 100_000, 30, 60)
    found = re.search(r"(\d+) fit", str(refused.value))
    assert found is not None
    memory.check_memory(_config(int(found[1])), CPU, 100_000, 30, 60)
    with pytest.raises(ConfigError):
        memory.check_memory(_config(int(found[1]) + 1), CPU, 100_000, 30, 60)


def test_accumulation_saves_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "available", lambda _: 10**9)
    with pytest.raises(ConfigError):
        memory.check_memory(_config(1, "training.batch_size=65536"), CPU, 100_000, 30, 60)
    memory.check_memory(_config(1, "training.batch_size=65536", "training.accumulate=64"), CPU, 100_000, 30, 60)


def test_a_batch_larger_than_the_data_counts_as_large_as_the_data(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "available", lambda _: 10**9)
    memory.check_memory(_config(1, "training.batch_size=1000000"), CPU, 500, 30, 60)
    memory.check_memory(_config(1, "training.batch_size=1000000"), CPU)  # before the data are known


def test_the_estimate_is_between_1_and_1_5_times_the_memory_of_the_weights() -> None:
    """The weights are the parameters of the real networks, with COPIES copies of each."""
    from tests.training.models import case

    one = case("members", "network.hidden=[500]")
    real = memory.COPIES * memory.BYTES * sum(p.numel() for p in one.vae.parameters())
    guess = 3 * memory._of_a_member(one.config, 1, 5, 10)
    assert real <= guess <= 1.5 * real


def test_the_memory_limit_of_a_container_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "memory.max").write_text("3000000\n")
    (tmp_path / "memory.current").write_text("1000000\n")
    monkeypatch.setattr(memory, "CGROUP", tmp_path)
    assert memory.available(CPU) == 2_000_000
    (tmp_path / "memory.stat").write_text("anon 400000\ninactive_file 500000\nactive_file 100000\n")
    assert memory.available(CPU) == 2_600_000  # the page cache counts as free
    (tmp_path / "memory.max").write_text("max\n")
    assert memory.available(CPU) > 2_000_000
