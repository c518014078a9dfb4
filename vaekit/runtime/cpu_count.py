"""Counts the CPU cores that this process may use, by its affinity and its control groups (cgroups)."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

GROUPS = Path("/sys/fs/cgroup")  # cgroup version 2; version 1 has a folder for each controller
VERSION_1, VERSION_2 = ("cpu.cfs_quota_us", "cpu.cfs_period_us"), ("cpu.max",)  # quota and period
MEMBERSHIP = Path("/proc/self/cgroup")  # one line per hierarchy: number, controllers, path of the group


def cpu_count(groups: Path = GROUPS, membership: Path = MEMBERSHIP) -> int:
    """The number of CPU cores: the smallest of the affinity and all cgroup quotas, rounded down, at least 1."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, int(min([cores, *_quotas(groups, membership)])))


def _quotas(groups: Path, membership: Path) -> Iterator[float]:
    """The quota of each group in cores."""
    for folder, is_version_1 in control_groups("cpu", groups, membership):
        try:
            files = VERSION_1 if is_version_1 else VERSION_2
            quota, period = " ".join((folder / file).read_text(encoding="utf-8") for file in files).split()
            if int(quota) > 0:  # version 1 has -1 for no quota
                yield int(quota) / int(period)
        except (OSError, ValueError):  # the group is not visible here, or the quota is "max"
            continue


def control_groups(
    controller: str, groups: Path = GROUPS, membership: Path = MEMBERSHIP
) -> Iterator[tuple[Path, bool]]:
    """(folder, whether it is of version 1) of each group with limits, from that of this process up to the root.

    Args:
        controller: what is limited: cpu, pids.
        groups: where the groups are mounted.
        membership: the groups of this process, as in /proc/self/cgroup. Without it, the root is the only group.
    """
    try:
        lines = membership.read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    for line in lines or ["0::/", f"0:{controller}:/"]:
        _, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if controllers and controller not in controllers.split(","):
            continue
        own = Path(path.lstrip("/"))
        for group in (own, *own.parents):
            yield (groups / controller if controllers else groups) / group, bool(controllers)
