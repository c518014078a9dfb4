"""Counts the CPU cores that this process may use, by its affinity and its control groups (cgroups)."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

GROUPS = Path("/sys/fs/cgroup")  # cgroup version 2; version 1 has its CPU limits in the folder cpu
VERSION_1, VERSION_2 = ("cpu.cfs_quota_us", "cpu.cfs_period_us"), ("cpu.max",)  # quota and period
MEMBERSHIP = Path("/proc/self/cgroup")  # one line per hierarchy: number, controllers, path of the group


def cpu_count(groups: Path = GROUPS, membership: Path = MEMBERSHIP) -> int:
    """The number of CPU cores: the smallest of the affinity and all cgroup quotas, rounded down, at least 1."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, int(min([cores, *_quotas(groups, membership)])))


def _quotas(groups: Path, membership: Path) -> Iterator[float]:
    """The quota of each group in cores, from the group of this process up to the root (of the container)."""
    for controllers, path in _memberships(membership):
        if controllers and "cpu" not in controllers.split(","):
            continue
        base, files = (groups / "cpu", VERSION_1) if controllers else (groups, VERSION_2)
        for group in (path, *path.parents):
            try:
                quota, period = " ".join((base / group / file).read_text(encoding="utf-8") for file in files).split()
                if int(quota) > 0:  # version 1 has -1 for no quota
                    yield int(quota) / int(period)
            except (OSError, ValueError):  # the group is not visible here, or the quota is "max"
                continue


def _memberships(membership: Path) -> Iterator[tuple[str, Path]]:
    """(controllers, path of the group without its leading slash) of each group that this process is in.

    If there is no membership file, the root is the only group.
    """
    try:
        lines = membership.read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    for line in lines or ["0::/", "0:cpu:/"]:
        _, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        yield controllers, Path(path.lstrip("/"))
