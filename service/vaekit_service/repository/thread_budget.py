"""One budget of threads for all graphs of the process: how many threads a model that is loaded now may use."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

from vaekit.runtime.cpu_count import GROUPS, MEMBERSHIP, control_groups

RESERVE = 32  # threads kept free for the service itself and for other processes of its control group


def threads_per_call(wanted: int, graphs: int, free: int) -> int:
    """The threads of one call of each graph of a model, at most `wanted` and at least 1.

    A graph with t threads has t - 1 of its own; the other one is the thread that calls it. With one thread per call a
    model therefore starts none, and fits any budget.

    Args:
        wanted: threads that the settings ask for.
        graphs: number of graphs of the model.
        free: threads that the process may still start.
    """
    return max(1, min(wanted, 1 + free // max(1, graphs)))


def free_threads(most: int, used: int, groups: Path = GROUPS, membership: Path = MEMBERSHIP) -> int:
    """The threads that the graphs of further models may start; at least 0.

    Args:
        most: limit of the threads of all graphs, from the settings.
        used: threads of the graphs that are loaded.
        groups, membership: see control_groups.
    """
    return max(0, min([most - used, *_room(groups, membership), *_room_of_user()]))


def _room(groups: Path, membership: Path) -> Iterator[int]:
    """The threads that each control group of this process leaves (`docker run --pids-limit`), less the reserve."""
    for folder, _ in control_groups("pids", groups, membership):
        try:
            most, now = ((folder / f"pids.{name}").read_text(encoding="utf-8") for name in ("max", "current"))
            yield int(most) - int(now) - RESERVE
        except (OSError, ValueError):  # the group is not visible here, or the limit is "max"
            continue


def _room_of_user() -> Iterator[int]:
    """The threads that the limit of the user (`ulimit -u`) leaves, less the reserve, if this is its only process.

    The limit does not apply to the superuser.
    """
    if sys.platform != "linux" or os.geteuid() == 0:
        return
    import resource

    most = resource.getrlimit(resource.RLIMIT_NPROC)[0]
    if most != resource.RLIM_INFINITY:
        yield most - sum(1 for _ in Path("/proc/self/task").iterdir()) - RESERVE
