"""Checks that a run fits in the free memory, before it starts."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import torch

from vaekit.errors import ConfigError
from vaekit_training.config import Config

COPIES = 6  # copies of each weight: weight, gradient, two moments of AdamW, best weights, running mean
ACTIVATIONS = 4  # copies of each unit's output: before and after the activation, and the gradients of both
BYTES = 4  # per float32 number
CGROUP = Path("/sys/fs/cgroup")


def check_memory(config: Config, device: torch.device, rows: int = 1, inputs: int = 1, outputs: int = 1) -> None:
    """Refuse a run whose members need more memory than is free.

    Args:
        config: the run's config.
        device: the training device.
        rows: number of training rows; 1 if not known yet.
        inputs: number of inputs of the encoder; 1 if not known yet.
        outputs: number of outputs of the decoder; 1 if not known yet.

    Raises:
        ConfigError: the run does not fit; the message states how many members would fit.
    """
    if config.network.name != "mlp":
        return
    one, free = _of_a_member(config, rows, inputs, outputs), available(device)
    members = config.network.members
    if members * one > free:
        fit = free // one
        cure = (
            f"at most {fit} fit"
            if fit
            else "set a smaller network.hidden or training.batch_size, or a larger training.accumulate"
        )
        raise ConfigError(
            f"network.members: {members} need about {members * one / 1e9:.3g} GB to train, but {free / 1e9:.3g} GB are "
            f"free on {device}: {cure}"
        )


def available(device: torch.device) -> int:
    """Bytes that this process can still allocate on the device, within the limits of the machine and the container."""
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    free = [int(line.split()[1]) * 1024 for line in _lines(Path("/proc/meminfo")) if line.startswith("MemAvailable:")]
    limit, used, stat = (_lines(CGROUP / f"memory.{name}") for name in ("max", "current", "stat"))
    if limit and used and limit[0].isdecimal():
        cached = sum(int(line.split()[1]) for line in stat if line.startswith(("inactive_file ", "active_file ")))
        free.append(max(0, int(limit[0]) - int(used[0]) + cached))  # the page cache is released when memory is needed
    return min(free, default=2**62)


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="utf-8").splitlines()
    except OSError:
        return []


def _of_a_member(config: Config, rows: int, inputs: int, outputs: int) -> int:
    """Bytes that one member needs for its weights, and for its activations in one step."""
    hidden, z = config.network.hidden, config.network.latent_dim or 1
    encoder = (inputs, *hidden, 2 * z)
    decoder = (z, *reversed(hidden), outputs)
    weights = sum(a * b + b for sizes in (encoder, decoder) for a, b in pairwise(sizes))
    at_once = -(-min(config.training.batch_size, rows) // config.training.accumulate)
    units = sum(encoder) + config.objective.num_samples * sum(decoder)
    return BYTES * (COPIES * weights + ACTIVATIONS * at_once * units)
