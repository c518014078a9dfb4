"""One budget of threads for all models: it slows models down, and never stops the loading."""

from __future__ import annotations

import os
import resource
import shutil
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from vaekit.runtime import device as devices
from vaekit_service.repository.loader import NICENESS, lower_priority
from vaekit_service.repository.thread_budget import RESERVE, free_threads, threads_per_call

NAME = "breast-cancer"


@pytest.mark.parametrize(
    ("wanted", "graphs", "free", "threads"),
    [(8, 6, 1000, 8), (8, 6, 42, 8), (8, 6, 41, 7), (8, 6, 6, 2), (8, 6, 5, 1), (8, 6, 0, 1), (1, 6, 0, 1)],
)
def test_a_model_uses_as_many_threads_as_the_budget_has_for_all_its_graphs(
    wanted: int, graphs: int, free: int, threads: int
) -> None:
    assert threads_per_call(wanted, graphs, free) == threads
    assert threads == 1 or graphs * (threads - 1) <= free


@pytest.mark.parametrize("version_1", [False, True])
def test_the_budget_is_limited_by_the_control_groups_up_to_the_root(tmp_path: Path, version_1: bool) -> None:
    groups, membership = tmp_path / "groups", tmp_path / "membership"
    membership.write_text("5:cpu:/other\n4:pids:/a/b\n" if version_1 else "0::/a/b\n")
    inner = (groups / "pids" if version_1 else groups) / "a/b"
    inner.mkdir(parents=True)
    assert free_threads(512, 12, groups, membership) == 500
    for folder, most, now in ((inner, "max", 40), (inner.parent, 300, 100)):
        (folder / "pids.max").write_text(f"{most}\n")
        (folder / "pids.current").write_text(f"{now}\n")
    assert free_threads(512, 12, groups, membership) == 200 - RESERVE
    (inner / "pids.max").write_text("50\n")
    assert free_threads(512, 12, groups, membership) == 0
    assert free_threads(10, 12, groups, membership) == 0


@pytest.mark.skipif(sys.platform != "linux", reason="counts threads in /proc")
def test_the_budget_is_limited_by_the_threads_that_the_user_may_have(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    threads = len(list(Path("/proc/self/task").iterdir()))
    monkeypatch.setattr("resource.getrlimit", lambda _: (threads + RESERVE + 7, resource.RLIM_INFINITY))
    for user, free in ((1000, 7), (0, 512)):
        monkeypatch.setattr(os, "geteuid", lambda user=user: user)
        assert free_threads(512, 0, tmp_path, tmp_path) == free
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setattr("resource.getrlimit", lambda _: (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    assert free_threads(512, 0, tmp_path, tmp_path) == 512


@pytest.mark.anyio
async def test_models_beyond_the_budget_are_loaded_with_fewer_threads_and_the_log_says_so(
    start: Any, copied: Path, models_dir: Path
) -> None:
    shutil.copytree(models_dir / "digits", copied / "digits")
    async with start(copied, threads=3, max_threads=13, poll_seconds=3600) as service:
        for name, threads in ((NAME, 3), ("digits", 1)):
            graphs = (await service.http.get(f"/models/{name}")).json()["graphs"]
            assert {graph["threads"] for graph in graphs.values()} == {threads}
        [said] = [line for line in service.lines() if line["event"].startswith("fewer threads per call")]
        assert (said["model"], said["threads"], said["configured"]) == ("digits", 1, 3)
        assert (await service.post("/models/digits/sample", {"n": 1})).status_code == 200
        shutil.rmtree(copied / NAME)
        await service.components.updates.look()
        await service.components.updates.settle()
        shutil.copytree(models_dir / NAME, copied / NAME)
        await service.components.updates.look()  # the threads of the model that left are free again
        graphs = (await service.http.get(f"/models/{NAME}")).json()["graphs"]
        assert {graph["threads"] for graph in graphs.values()} == {3}


@pytest.mark.anyio
async def test_without_a_budget_a_model_starts_no_threads(start: Any, copied: Path) -> None:
    async with start(copied, threads=4, max_threads=0) as service:
        graphs = (await service.http.get(f"/models/{NAME}")).json()["graphs"]
        assert {graph["threads"] for graph in graphs.values()} == {1}


@pytest.mark.skipif(sys.platform != "linux", reason="threads have no priority of their own")
@pytest.mark.parametrize(
    ("device", "threads", "has_cuda", "lowered"),
    [
        ("cpu", 1, True, True),
        ("auto", 1, False, True),
        ("auto", 1, True, False),
        ("cuda", 1, False, False),
        ("cpu", 2, False, False),
    ],
)
def test_loading_has_a_lower_priority_unless_threads_of_requests_would_inherit_it(
    device: str, threads: int, has_cuda: bool, lowered: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    providers = [devices.CPU, *([devices.CUDA] if has_cuda else [])]
    monkeypatch.setattr("onnxruntime.get_available_providers", lambda: providers)
    before = os.getpriority(os.PRIO_PROCESS, threading.get_native_id())

    def niceness() -> int:
        return os.getpriority(os.PRIO_PROCESS, threading.get_native_id())

    with ThreadPoolExecutor(1, initializer=lower_priority, initargs=(device, threads)) as pool:
        found = pool.submit(niceness).result()
    assert found == (max(before, NICENESS) if lowered else before)
    assert niceness() == before
