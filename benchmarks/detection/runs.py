"""Runs jobs on several workers. Each result is saved at once, so that an interrupted run can be resumed."""

from __future__ import annotations

import json
import queue
import subprocess
import sys
import threading
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from benchmarks.detection.worker import Job
from benchmarks.processes import ROOT, command, environment

Result = dict[str, Any]


class Store:
    """Results in a file of JSON lines, one per job; an incomplete line is ignored."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._found: dict[Job, Result] = {}
        path.parent.mkdir(parents=True, exist_ok=True)
        for line in path.read_text().splitlines() if path.exists() else ():
            try:
                result = json.loads(line)
            except json.JSONDecodeError:
                continue
            self._found[_key(Job.of(result))] = result
        self._lock = threading.Lock()

    def get(self, job: Job) -> Result | None:
        return self._found.get(_key(job))

    def add(self, result: Result) -> None:
        with self._lock, self._path.open("a") as file:
            file.write(json.dumps(result) + "\n")
            self._found[_key(Job.of(result))] = result


def _key(job: Job) -> Job:
    """The job without the folder of its set, so that results stay valid if the folder moves."""
    return Job(**{**asdict(job), "folder": ""})


def run_all(jobs: Sequence[Job], store: Store, *, workers: int, python: Path | str = sys.executable) -> list[Result]:
    """The results of all jobs, in order; jobs in the store do not run again."""
    waiting: queue.SimpleQueue[Job] = queue.SimpleQueue()
    missing = [job for job in jobs if store.get(job) is None]
    for job in missing:
        waiting.put(job)
    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn()
    with Progress(*columns, transient=True) as progress:
        task = progress.add_task("detectors on splits", total=len(jobs), completed=len(jobs) - len(missing))

        def on_result(result: Result) -> None:
            store.add(result)
            progress.update(task, advance=1, description=f"{result['method']} on {result['set']}")

        threads = [threading.Thread(target=_work, args=(waiting, on_result, python)) for _ in range(workers)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    return [found for job in jobs if (found := store.get(job)) is not None]


def _work(waiting: queue.SimpleQueue[Job], on_result: Any, python: Path | str) -> None:
    """Run jobs on one worker, one after the other, until none is left."""
    process = subprocess.Popen(
        command("detection.worker", (), python),
        cwd=ROOT,
        env=environment(1),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        while True:
            job = waiting.get_nowait()
            process.stdin.write(json.dumps(asdict(job)) + "\n")
            process.stdin.flush()
            line = process.stdout.readline()
            if not line:
                raise SystemExit(f"a worker process ended while it ran {job.method} on {job.set}")
            on_result(json.loads(line))
    except queue.Empty:
        pass
    finally:
        process.stdin.close()
        process.wait()


def failures(results: Iterable[Result]) -> list[str]:
    """The failures, one line each."""
    return [f"{one['method']} on {one['set']}, seed {one['seed']}: {one['error']}" for one in results if "error" in one]
