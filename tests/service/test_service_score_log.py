"""The score log: what it records, and that nothing it meets stops the service or leaves an unreadable file."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections import deque
from pathlib import Path
from typing import Any

import anyio
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from numpy.typing import NDArray

from tests.kinds import GROUPED_NAMES, NAMES, Published, grouped_rows, mixed_rows
from vaekit.errors import ConfigError
from vaekit.tabular.explained_cells import UNSEEN
from vaekit_service.app import create_app
from vaekit_service.score_log import log as log_module
from vaekit_service.score_log.columns import FIELDS
from vaekit_service.score_log.files import GrowingFile, recover, remove_oldest, rotate
from vaekit_service.settings import load

pytestmark = pytest.mark.anyio


def logged(folder: Path) -> list[dict[str, Any]]:
    """The rows of all finished files, in the order of their time."""
    tables = [pq.read_table(path) for path in sorted(folder.glob("*.parquet"))]
    rows = [row for table in tables for row in table.to_pylist()]
    return sorted(rows, key=lambda row: (row["time"], row["row"]))


async def test_each_scored_row_is_logged_with_its_ids_and_its_verdict(
    start: Any, mixed: Published, tmp_path: Path
) -> None:
    rows = mixed_rows(5, seed=1).tolist()
    async with start(mixed.root, score_log=tmp_path / "log") as service:
        headers = {"x-request-id": "order-7"}
        body = {"inputs": rows, "ids": ["a", 2, None, "d", "e"], "alpha": 0.2}
        reply = await service.http.post("/elbo", json=body, headers=headers)
        other = await service.post("/elbo", {"inputs": rows[:1], "seed": 3, "num_samples": 8})
        assert (await service.post("/encode", {"inputs": rows})).status_code == 200
        assert (await service.post("/elbo", {"inputs": [[1]]})).status_code == 422
    found, said = logged(tmp_path / "log"), reply.json()
    assert len(found) == 6
    assert [row["id"] for row in found] == ["a", "2", None, "d", "e", None]
    assert [row["request_id"] for row in found] == ["order-7"] * 5 + [other.headers["x-request-id"]]
    assert [row["row"] for row in found] == [0, 1, 2, 3, 4, 0]
    for name in ("elbo", "score", "p_value", "is_anomaly"):
        assert [row[name] for row in found[:5]] == said[name]
    assert {(row["model"], row["version"], row["alpha"], row["seed"]) for row in found[:5]} == {("mixed", 1, 0.2, None)}
    assert found[5]["p_value"] is found[5]["is_anomaly"] is found[5]["alpha"] is None
    assert (found[5]["seed"], found[5]["num_samples"], found[0]["num_samples"]) == (3, 8, said["num_samples"])
    assert "input" not in found[0]


async def test_a_request_that_is_not_to_be_recorded_counts_nowhere(
    start: Any, mixed: Published, tmp_path: Path
) -> None:
    rows = mixed_rows(5, seed=1).tolist()
    rows[0][NAMES.index("colour")] = "unheard of"
    async with start(mixed.root, score_log=tmp_path / "log", health_seconds=0.05) as service:
        for recorded, counted in (("false", 0), ("TRUE", 5)):
            headers = {"vae-record": recorded}
            reply = await service.http.post("/elbo", json={"inputs": rows, "explain": 2}, headers=headers)
            assert reply.status_code == 200, reply.text
            await anyio.sleep(0.3)
            assert (await service.http.get("/models/mixed/health")).json()["rows"] == counted
            novel = 'vae_novel_rows_total{model="mixed",version="1"} 1.0' in (await service.http.get("/metrics")).text
            assert novel is (counted > 0)
        wrong = await service.http.post("/elbo", json={"inputs": rows}, headers={"vae-record": "no"})
        assert wrong.status_code == 422
        assert wrong.json()["detail"] == "vae-record: 'no' is neither true nor false"
    assert len(logged(tmp_path / "log")) == 5


async def test_payloads_are_the_rows_as_they_were_sent(start: Any, mixed: Published, tmp_path: Path) -> None:
    rows = [dict(zip(NAMES, row, strict=True)) for row in mixed_rows(3, seed=2).tolist()]
    rows[1]["colour"], rows[2]["load"] = "unheard of", None
    async with start(mixed.root, score_log=tmp_path, score_log_payloads=True) as service:
        assert (await service.post("/elbo", {"inputs": rows})).status_code == 200
    want = [{**row, "colour": UNSEEN if row["colour"] == "unheard of" else row["colour"]} for row in rows]
    found = logged(tmp_path)
    assert [row["input"] for row in found] == [{name: row[name] for name in NAMES} for row in want]
    assert [row["novel"] for row in found][1] == "colour"


async def test_images_are_logged_flat(start: Any, models_dir: Path, tmp_path: Path) -> None:
    images = np.random.default_rng(0).integers(0, 17, (2, 8, 8, 1))
    async with start(models_dir, score_log=tmp_path, score_log_payloads=True) as service:
        reply = await service.post("/models/digits/elbo", {"inputs": images.tolist()})
        assert reply.status_code == 200
    assert [row["input"] for row in logged(tmp_path)] == images.reshape(2, -1).tolist()


async def test_the_group_of_each_row_is_logged(start: Any, grouped: Published, tmp_path: Path) -> None:
    rows = [dict(zip(GROUPED_NAMES, row, strict=True)) for row in grouped_rows(20, seed=6).tolist()]
    async with start(grouped.root, score_log=tmp_path) as service:
        said = (await service.post("/elbo", {"inputs": rows})).json()
    assert [(row["group"], row["group_pooled"]) for row in logged(tmp_path)] == list(
        zip(said["group"], said["group_pooled"], strict=True)
    )


async def test_tolerated_alarms_are_logged_as_they_were_answered(
    start: Any, copied: Path, tmp_path: Path, benign_rows: NDArray[np.float64]
) -> None:
    row = benign_rows[0].copy()
    row[3] += 6 * benign_rows[:, 3].std()  # mean area
    async with start(copied, score_log=tmp_path / "log") as service:
        for ignore in ({}, {"mean area": {"above": 2000}}):
            assert (await service.post("/elbo", {"inputs": [row.tolist()], "ignore": ignore})).status_code == 200
    assert [row["is_anomaly"] for row in logged(tmp_path / "log")] == [True, False]


async def test_files_are_finished_by_time_while_the_service_runs(start: Any, mixed: Published, tmp_path: Path) -> None:
    async with start(mixed.root, score_log=tmp_path, score_log_seconds=0.01) as service:
        for count in (1, 2):
            await service.post("/elbo", {"inputs": mixed_rows(1, seed=1).tolist()})
            until = time.monotonic() + 20
            while len(list(tmp_path.glob("*.parquet"))) < count and time.monotonic() < until:
                time.sleep(0.05)
        names = sorted(path.name for path in tmp_path.glob("*.parquet"))
        assert len(names) == 2
        text = (await service.http.get("/metrics")).text
    assert "vae_score_log_rows_written_total 2.0" in text
    assert "vae_score_log_rows_dropped_total 0.0" in text
    assert all(name.startswith("scores-mixed-1-") for name in names)


async def test_rows_beyond_the_bound_are_dropped_and_counted(
    start: Any, mixed: Published, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(log_module, "MAX_WAITING_BYTES", 3 * 512)
    async with start(mixed.root, score_log=tmp_path) as service:
        assert (await service.post("/elbo", {"inputs": mixed_rows(4, seed=1).tolist()})).status_code == 200
        assert "vae_score_log_rows_dropped_total 4.0" in (await service.http.get("/metrics")).text
    assert logged(tmp_path) == []


async def test_a_folder_that_cannot_be_written_costs_the_rows_and_one_line_of_the_log(
    start: Any, mixed: Published, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    async with start(mixed.root, score_log=tmp_path / "file") as service:
        for _ in range(3):
            assert (await service.post("/elbo", {"inputs": mixed_rows(2, seed=1).tolist()})).status_code == 200
            await until_counted(service, "dropped", 2)
        troubles = [line for line in service.lines() if line["event"].startswith("score log cannot be written")]
        assert len(troubles) == 1
        assert "vae_score_log_rows_dropped_total 6.0" in (await service.http.get("/metrics")).text


async def until_counted(service: Any, which: str, more: int) -> None:
    import asyncio

    async def now() -> float:
        lines = (await service.http.get("/metrics")).text.splitlines()
        return float(next(line for line in lines if line.startswith(f"vae_score_log_rows_{which}_total")).split()[1])

    wanted = getattr(service, "counted", 0) + more
    service.counted = wanted
    for _ in range(400):
        if await now() >= wanted:
            return
        await asyncio.sleep(0.05)
    raise AssertionError(f"{which}: {await now()}, expected {wanted}")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full")
def test_a_full_disk_costs_rows_and_leaves_no_unreadable_file(tmp_path: Path) -> None:
    with_rows = GrowingFile(tmp_path, "m", 1, pa.schema([("row", pa.int32())]))
    with_rows.append(pa.table({"row": pa.array([1, 2], pa.int32())}))
    temporary = with_rows.path.with_suffix(".parquet.tmp")
    temporary.symlink_to("/dev/full")
    with pytest.raises(OSError, match="No space left"):
        rotate(with_rows.path)
    assert list(tmp_path.iterdir()) == [with_rows.path]  # what was written of the other file is gone
    with_rows.close()
    assert recover(tmp_path) == [with_rows.path.name]
    assert [row["row"] for table in map(pq.read_table, tmp_path.glob("*.parquet")) for row in table.to_pylist()] == [
        1,
        2,
    ]


CHILD = """
import os, signal, sys
from pathlib import Path
import pyarrow as pa
from vaekit_service.score_log.files import GrowingFile
file = GrowingFile(Path(sys.argv[1]), "m", 1, pa.schema([("row", pa.int32())]))
for i in range(3):
    file.append(pa.table({"row": pa.array([i], pa.int32())}))
print("written", flush=True)
sys.stdin.read()
"""


def test_the_rows_of_a_killed_process_are_recovered_and_those_of_a_live_one_left_alone(tmp_path: Path) -> None:
    child = subprocess.Popen(
        [sys.executable, "-c", CHILD, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert child.stdout is not None
    assert child.stdout.readline() == "written\n"
    assert recover(tmp_path) == []
    child.kill()
    child.communicate()
    (growing,) = tmp_path.glob("*.partial")
    with growing.open("ab") as file:
        file.write(b"\xff\xff\xff\xff\x10")  # the start of a batch that was never finished
    assert len(recover(tmp_path)) == 1
    (finished,) = tmp_path.iterdir()
    assert pq.read_table(finished).to_pydict() == {"row": [0, 1, 2]}
    assert recover(tmp_path) == []


async def test_leftovers_of_other_processes_are_recovered_while_the_service_runs(
    start: Any, mixed: Published, tmp_path: Path
) -> None:
    async with start(mixed.root, score_log=tmp_path, score_log_seconds=0.01) as service:
        left = GrowingFile(tmp_path, "other", 1, pa.schema([("row", pa.int32())]))
        left.append(pa.table({"row": pa.array([1], pa.int32())}))
        left.close()
        await service.post("/elbo", {"inputs": mixed_rows(1, seed=1).tolist()})
        until = time.monotonic() + 20
        while left.path.exists() and time.monotonic() < until:
            time.sleep(0.05)
    assert left.path.with_suffix(".parquet").exists()


async def test_rows_in_a_folder_that_is_removed_count_as_lost_and_later_ones_are_written(
    start: Any, mixed: Published, tmp_path: Path
) -> None:
    folder, row = tmp_path / "log", mixed_rows(1, seed=1).tolist()
    async with start(mixed.root, score_log=folder) as service:
        for identity in ("before", "after"):
            await service.post("/elbo", {"inputs": row, "ids": [identity]})
            await until_counted(service, "written", 1)
            if identity == "before":
                shutil.rmtree(folder)
        text = (await service.http.get("/metrics")).text
    assert [found["id"] for found in logged(folder)] == ["after"]
    assert "vae_score_log_rows_dropped_total 1.0" in text


async def test_a_leftover_that_cannot_be_read_stops_neither_other_recoveries_nor_the_limit_of_all_files(
    start: Any, mixed: Published, tmp_path: Path
) -> None:
    (tmp_path / "scores-a-1-x.partial").mkdir()  # opening it fails
    left = GrowingFile(tmp_path, "other", 1, pa.schema([("row", pa.int32())]))
    left.append(pa.table({"row": pa.array([1], pa.int32())}))
    left.close()
    for number in range(3):
        (tmp_path / f"scores-old-{number}.parquet").write_bytes(bytes(2**20))
    async with start(mixed.root, score_log=tmp_path, score_log_max_bytes=2**20) as service:
        await service.post("/elbo", {"inputs": mixed_rows(1, seed=1).tolist()})
    assert left.path.with_suffix(".parquet").exists()
    assert list(tmp_path.glob("scores-old-*")) == []
    errors = [line["event"] for line in service.lines() if line["level"] == "error"]
    assert errors == ["score log: files cannot be finished or removed; they stay"]


def test_a_stream_without_a_complete_batch_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "scores-m-1-x.partial").write_bytes(b"\xff\xff")
    assert recover(tmp_path) == ["scores-m-1-x.partial"]
    assert list(tmp_path.iterdir()) == []


def test_a_process_killed_between_the_rename_and_the_removal_writes_its_rows_once(tmp_path: Path) -> None:
    file = GrowingFile(tmp_path, "m", 1, pa.schema([("row", pa.int32())]))
    file.append(pa.table({"row": pa.array([1], pa.int32())}))
    content = file.path.read_bytes()
    file.close()
    rotate(file.path)
    file.path.write_bytes(content)
    recover(tmp_path)
    (finished,) = tmp_path.iterdir()
    assert pq.read_table(finished).num_rows == 1


def test_the_oldest_finished_files_are_removed_first(tmp_path: Path) -> None:
    for age, name in enumerate(["c", "b", "a"]):
        path = tmp_path / f"scores-{name}.parquet"
        path.write_bytes(bytes(100))
        os.utime(path, (1000 - age, 1000 - age))
    (tmp_path / "other.parquet").write_bytes(bytes(1000))
    (tmp_path / "scores-x.partial").write_bytes(bytes(50))
    assert remove_oldest(tmp_path, 260) == ["scores-a.parquet"]
    assert remove_oldest(tmp_path, 260) == []
    assert remove_oldest(tmp_path, 10) == ["scores-b.parquet", "scores-c.parquet"]
    assert {path.name for path in tmp_path.iterdir()} == {"other.parquet", "scores-x.partial"}


def test_without_pyarrow_the_start_fails(mixed: Published, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log_module, "find_spec", lambda _: None)
    with pytest.raises(ConfigError, match=r"VAE_SCORE_LOG.*vaekit\[arrow\]"):
        create_app(load(models=mixed.root, score_log=tmp_path))


def test_a_row_that_breaks_the_writer_does_not_stop_it(tmp_path: Path) -> None:
    from vaekit_service.logs import make_log
    from vaekit_service.score_log.writer import Writer

    queue: deque[Any] = deque()
    writer = Writer(
        tmp_path, queue, make_log("json", "error"), payloads=False, file_bytes=2**20, seconds=60, max_bytes=2**30
    )

    class Broken:
        n, cost, model = 3, 10, type("M", (), {"manifest": type("F", (), {"name": "m", "version": 1, "input": None})})

    queue.append(Broken())
    writer.start()
    writer.close(10)
    assert (writer.written, writer.dropped, writer.taken_cost) == (0, 3, 10)


def test_the_columns_have_different_names() -> None:
    assert len({field.name for field in FIELDS}) == len(FIELDS)
