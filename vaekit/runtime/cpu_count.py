"""How many CPU cores this process may use: its affinity and its control groups."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

GROUPS = Path("/sys/fs/cgroup")  # version 2; version 1 has the processor's in its folder cpu
VERSION_1, VERSION_2 = ("cpu.cfs_quota_us", "cpu.cfs_period_us"), ("cpu.max",)  # quota and period
MEMBERSHIP = Path("/proc/self/cgroup")  # a line for each hierarchy: number, controllers, the group's path


def cpu_count(groups: Path = GROUPS, membership: Path = MEMBERSHIP) -> int:
    """The smaller of the affinity and the quotas of the control groups around this process, at least 1."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, int(min([cores, *_quotas(groups, membership)])))


def _quotas(groups: Path, membership: Path) -> Iterator[float]:
    """Cores that each group allows, from the process's own up to the root, which in a container is the container's."""
    for controllers, path in _memberships(membership):
        if controllers and "cpu" not in controllers.split(","):
            continue
        base, files = (groups / "cpu", VERSION_1) if controllers else (groups, VERSION_2)
        for group in (path, *path.parents):
            try:
                quota, period = " ".join((base / group / file).read_text() for file in files).split()
                if int(quota) > 0:  # version 1 has -1 where there is none
                    yield int(quota) / int(period)
            except (OSError, ValueError):  # no such group where we are, or "max"
                continue


def _memberships(membership: Path) -> Iterator[tuple[str, Path]]:
    """(controllers, the group's path without its leading slash); the root where nobody says."""
    try:
        lines = membership.read_text().splitlines()
    except OSError:
        lines = []
    for line in lines or ["0::/", "0:cpu:/"]:
        _, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        yield controllers, Path(path.lstrip("/"))
