"""Compares the memory that a run will need with what this machine has."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import torch

from vaekit.errors import ConfigError
from vaekit_training.config import Config

COPIES = 6  # of every weight: itself, its gradient, AdamW's two moments, the best so far, the mean of its past
ACTIVATIONS = 4  # of every unit's output: itself, what the activation keeps, and the gradients of both
BYTES = 4  # float32
CGROUP = Path("/sys/fs/cgroup")


def check_memory(config: Config, device: torch.device, rows: int = 1, inputs: int = 1, outputs: int = 1) -> None:
    """Refuse more members than memory; rows to train on, inputs and outputs of the networks as far as they are known.

    Raises:
        ConfigError: it names how many members fit.
    """
    if config.network.name != "mlp":
        return
    one, free = _of_a_member(config, rows, inputs, outputs), available(device)
    members = config.network.members
    if members * one > free:
        fit = free // one
        cure = f"{fit} fit" if fit else "take smaller network.hidden or training.batch_size, or larger accumulate"
        raise ConfigError(
            f"network.members: {members} need about {members * one / 1e9:.3g} GB to train and {free / 1e9:.3g} GB are "
            f"free on {device}: {cure}"
        )


def available(device: torch.device) -> int:
    """Bytes that a process may still take on the device: of the machine, and of the container it is in."""
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    free = [int(line.split()[1]) * 1024 for line in _lines(Path("/proc/meminfo")) if line.startswith("MemAvailable:")]
    limit, used, stat = (_lines(CGROUP / f"memory.{name}") for name in ("max", "current", "stat"))
    if limit and used and limit[0].isdecimal():
        cached = sum(int(line.split()[1]) for line in stat if line.startswith(("inactive_file ", "active_file ")))
        free.append(max(0, int(limit[0]) - int(used[0]) + cached))  # what files were read is given up when asked for
    return min(free, default=2**62)


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text().splitlines()
    except OSError:
        return []


def _of_a_member(config: Config, rows: int, inputs: int, outputs: int) -> int:
    """Bytes of the weights of one member, and of a step's rows on their way through it."""
    hidden, z = config.network.hidden, config.network.latent_dim or 1
    encoder = (inputs, *hidden, 2 * z)
    decoder = (z, *reversed(hidden), outputs)
    weights = sum(a * b + b for sizes in (encoder, decoder) for a, b in pairwise(sizes))
    at_once = -(-min(config.training.batch_size, rows) // config.training.accumulate)
    units = sum(encoder) + config.objective.num_samples * sum(decoder)
    return BYTES * (COPIES * weights + ACTIVATIONS * at_once * units)
