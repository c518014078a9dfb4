"""Cores: the affinity, and the quotas of the control groups around the process, in both versions."""

from __future__ import annotations

from pathlib import Path

import pytest

from vaekit.runtime.cpu_count import cpu_count


@pytest.fixture(autouse=True)
def eight_cores(monkeypatch):
    monkeypatch.setattr("os.sched_getaffinity", lambda _: set(range(8)), raising=False)


def cores(tmp_path: Path, membership: str | None, **quotas: str) -> int:
    """What a process of these groups may use; __ in a name stands for a folder's slash."""
    for name, text in quotas.items():
        file = tmp_path / "groups" / name.replace("__", "/").replace("_max", ".max").replace("_cfs", ".cfs")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text + "\n")
    if membership is not None:
        (tmp_path / "membership").write_text(membership)
    return cpu_count(tmp_path / "groups", tmp_path / "membership")


@pytest.mark.parametrize(
    ("quota", "found"),
    [("max 100000", 8), ("250000 100000", 2), ("1000 100000", 1), ("9900000 100000", 8), ("?", 8), ("", 8)],
)
def test_the_quota_of_a_container_is_the_root_groups(tmp_path, quota, found):
    assert cores(tmp_path, "0::/\n", cpu_max=quota) == found


def test_the_smallest_quota_on_the_way_to_the_root_holds(tmp_path):
    groups = {"cpu_max": "max 100000", "kubepods__cpu_max": "300000 100000", "kubepods__pod__cpu_max": "500000 100000"}
    assert cores(tmp_path, "0::/kubepods/pod\n", **groups) == 3
    assert cores(tmp_path, "0::/elsewhere\n") == 8  # a brother's quota is not ours


def test_version_1_says_quota_and_period_in_two_files(tmp_path):
    lines = "3:cpuset:/\n4:cpu,cpuacct:/docker/abc\n0::/\n"
    limit = {"cpu__cpu_cfs_quota_us": "400000", "cpu__cpu_cfs_period_us": "100000"}
    assert cores(tmp_path, lines, **limit) == 4
    assert cores(tmp_path, lines, cpu__cpu_cfs_quota_us="-1") == 8  # no quota
    nested = {"cpu__docker__abc__cpu_cfs_quota_us": "150000", "cpu__docker__abc__cpu_cfs_period_us": "100000"}
    assert cores(tmp_path, lines, **nested) == 1


def test_where_nobody_says_which_groups_the_root_ones_hold(tmp_path):
    assert cores(tmp_path, None, cpu_max="200000 100000") == 2


def test_without_control_groups_it_is_the_affinity(tmp_path):
    assert cores(tmp_path, None) == 8
