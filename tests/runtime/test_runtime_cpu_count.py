"""The number of CPU cores from the affinity and from the quotas of control groups (cgroups, versions 1 and 2)."""

from __future__ import annotations

from pathlib import Path

import pytest

from vaekit.runtime.cpu_count import cpu_count


@pytest.fixture(autouse=True)
def eight_cores(monkeypatch):
    monkeypatch.setattr("os.sched_getaffinity", lambda _: set(range(8)), raising=False)


def cores(tmp_path: Path, membership: str | None, **quotas: str) -> int:
    """cpu_count for a process in these groups; __ in a keyword stands for a slash in the path."""
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
def test_the_quota_of_a_container_is_that_of_its_root_group(tmp_path, quota, found):
    assert cores(tmp_path, "0::/\n", cpu_max=quota) == found


def test_the_smallest_quota_on_the_path_to_the_root_applies(tmp_path):
    groups = {"cpu_max": "max 100000", "kubepods__cpu_max": "300000 100000", "kubepods__pod__cpu_max": "500000 100000"}
    assert cores(tmp_path, "0::/kubepods/pod\n", **groups) == 3
    assert cores(tmp_path, "0::/elsewhere\n") == 8  # the quota of another group does not apply


def test_version_1_has_quota_and_period_in_two_files(tmp_path):
    lines = "3:cpuset:/\n4:cpu,cpuacct:/docker/abc\n0::/\n"
    limit = {"cpu__cpu_cfs_quota_us": "400000", "cpu__cpu_cfs_period_us": "100000"}
    assert cores(tmp_path, lines, **limit) == 4
    assert cores(tmp_path, lines, cpu__cpu_cfs_quota_us="-1") == 8  # no quota
    nested = {"cpu__docker__abc__cpu_cfs_quota_us": "150000", "cpu__docker__abc__cpu_cfs_period_us": "100000"}
    assert cores(tmp_path, lines, **nested) == 1


def test_the_root_groups_apply_if_there_is_no_membership_file(tmp_path):
    assert cores(tmp_path, None, cpu_max="200000 100000") == 2


def test_without_control_groups_the_affinity_applies(tmp_path):
    assert cores(tmp_path, None) == 8
