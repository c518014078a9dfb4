"""A run that was stopped and resumed gives the same results as an uninterrupted one."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.training.models import Case, case
from tests.training.resuming import KINDS, digest
from vaekit.errors import ConfigError, InputError, Interrupted
from vaekit_training.config import make_config
from vaekit_training.loop import checkpoint
from vaekit_training.loop.fit import fit
from vaekit_training.loop.folder import PUBLISHED, Keep, resumed
from vaekit_training.loop.hooks import Hooks
from vaekit_training.loop.tracking import History, Validation
from vaekit_training.network_rows import network_rows
from vaekit_training.run import train

SETTINGS = [
    "training.steps=60", "training.evaluate_every=20", "training.checkpoint_every=7", "training.batch_size=8",
    "training.learning_rate=0.01", "training.ema=0.9",
]  # fmt: skip


def run(one: Case, hooks: Hooks) -> History:
    rows = network_rows(one.vae, one.rows.x)
    return fit(one.vae, rows.slice(0, 30), rows.slice(30, 40), one.config, components=rows, hooks=hooks)


@pytest.mark.slow
@pytest.mark.parametrize("stop", [1, 14, 20, 33, 59])
@pytest.mark.parametrize(
    ("kind", "more"),
    [
        ("normal", []),
        ("normal", ['training.precision="fp16"', "training.accumulate=2"]),
        ("aggregate", []),
        ("bits", ['objective.schedule="cyclical"']),
    ],
)
def test_a_stopped_and_resumed_run_gives_identical_results(
    kind: str, more: list[str], stop: int, tmp_path: Path
) -> None:
    whole = case(KINDS[kind], *SETTINGS, *more)
    expected = run(whole, Hooks())
    hooks = Hooks(checkpoint=tmp_path / "checkpoint.pt", signature="x")
    steps: list[int] = []
    first, second = (case(KINDS[kind], *SETTINGS, *more) for _ in range(2))
    with pytest.raises(Interrupted, match=f"after step {stop} of 60; to resume: vae train --resume {tmp_path}"):
        run(first, replace(hooks, on_step=steps.append, stop=lambda: len(steps) == stop))
    history = run(second, replace(hooks, on_step=steps.append, resume=True))
    assert steps == list(range(1, 61))
    assert digest(second.vae) == digest(whole.vae)
    assert history == expected


def test_resuming_a_finished_run_takes_no_steps(tmp_path: Path) -> None:
    hooks = Hooks(checkpoint=tmp_path / "checkpoint.pt", signature="x")
    first, second = (case(KINDS["normal"], *SETTINGS) for _ in range(2))
    done = run(first, hooks)
    steps: list[int] = []
    best: list[Validation] = []
    assert run(second, replace(hooks, resume=True, on_step=steps.append, on_best=best.append)) == done
    assert steps == []
    assert [validation.step for validation in best] == [done.best.step]
    assert digest(first.vae) == digest(second.vae)


def start(folder: Path, *arguments: str) -> subprocess.Popen[str]:
    command = [
        sys.executable,
        "-m",
        "tests.training.resuming",
        str(folder),
        *SETTINGS,
        "training.steps=400",
        *arguments,
    ]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)


def wait_for(process: subprocess.Popen[str], line: str) -> None:
    assert process.stdout is not None
    for said in process.stdout:
        if said.strip() == line:
            return
    raise AssertionError(f"the run ended without saying {line!r}")


@pytest.mark.slow
def test_a_killed_and_resumed_run_gives_identical_results(tmp_path: Path) -> None:
    (tmp_path / "whole").mkdir()
    (tmp_path / "killed").mkdir()
    whole = start(tmp_path / "whole")
    expected = whole.communicate(timeout=100)[0].splitlines()[-1]
    killed = start(tmp_path / "killed")
    wait_for(killed, "step 150")
    killed.send_signal(signal.SIGKILL)
    killed.communicate()
    resumed = start(tmp_path / "killed", "resume")
    said = resumed.communicate(timeout=100)[0].splitlines()
    assert said[-1] == expected
    first = int(said[0].split()[1])
    assert 147 <= first <= 400
    assert first % 7 == 1  # continues from the last checkpoint


@pytest.mark.slow
def test_sigterm_saves_the_state_and_ends_the_process(tmp_path: Path) -> None:
    process = start(tmp_path)
    wait_for(process, "step 30")
    process.send_signal(signal.SIGTERM)
    said = process.communicate(timeout=100)[0].splitlines()
    assert process.returncode == 143
    stopped = int(said[-1].split()[3])
    assert f"to resume: vae train --resume {tmp_path}" in said[-1]
    assert checkpoint.load(tmp_path / "checkpoint.pt")["at"] == stopped


def test_a_checkpoint_of_other_rows_is_refused(tmp_path: Path) -> None:
    hooks = Hooks(checkpoint=tmp_path / "checkpoint.pt", signature="these")
    run(case(KINDS["normal"], *SETTINGS), hooks)
    with pytest.raises(InputError, match="the run started with other data, sha256 these, not those"):
        run(case(KINDS["normal"], *SETTINGS), replace(hooks, resume=True, signature="those"))


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "no checkpoint to resume from"),
        (b"no", "not a checkpoint"),
        ({"format": 99}, "format 99; this version"),
    ],
)
def test_a_file_that_is_not_a_checkpoint_is_refused(content: object, said: str, tmp_path: Path) -> None:
    path = tmp_path / "checkpoint.pt"
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif content is not None:
        torch.save(content, path)
    with pytest.raises(InputError, match=said):
        checkpoint.load(path)


class Trap:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return (Path.touch, (Path("/tmp/vaekit-trap"),))  # type: ignore[return-value]  # what a malicious file would contain


def test_loading_a_checkpoint_executes_no_code(tmp_path: Path) -> None:
    torch.save({"format": 1, "trap": Trap()}, tmp_path / "checkpoint.pt")
    with pytest.raises(InputError, match="not a checkpoint"):
        checkpoint.load(tmp_path / "checkpoint.pt")


@pytest.mark.parametrize("kind", KINDS)
def test_a_checkpoint_contains_no_module_name_of_this_project(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "checkpoint.pt"
    run(case(KINDS[kind], *SETTINGS), Hooks(checkpoint=path, signature="x"))
    assert b"torch" in path.read_bytes()  # module names are not compressed
    assert b"vaekit" not in path.read_bytes()


def test_a_failed_write_leaves_the_old_checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "checkpoint.pt"
    checkpoint.save(path, {"value": 1})

    def fails(*_: object) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(os, "fsync", fails)
    with pytest.raises(OSError, match="disk full"):
        checkpoint.save(path, {"value": 2})
    assert checkpoint.load(path)["value"] == 1
    assert [p.name for p in tmp_path.iterdir()] == ["checkpoint.pt"]


@pytest.mark.parametrize("folds", [[], ["data.folds=3"]])
def test_a_run_of_a_kernel_prior_starts_again(folds: list[str], tmp_path: Path) -> None:
    """It has no checkpoints, but a run whose bundle could not be written must be resumable."""
    np.save(tmp_path / "rows.npy", np.random.default_rng(0).standard_normal((80, 2)))
    tree = {"name": "rows", "data": {"source": str(tmp_path / "rows.npy")}}
    config, folder = make_config(tree, ['likelihood.name="auto"', *folds]), tmp_path / "run"
    train(config, tmp_path / "models", keep=Keep(folder), draws_report=False)
    with pytest.raises(ConfigError, match="the run is finished"):
        resumed(folder)
    (folder / PUBLISHED).unlink()
    train(resumed(folder), tmp_path / "models", keep=Keep(folder, resume=True), draws_report=False)
    first, second = (tmp_path / "models" / "rows" / version for version in ("1", "2"))
    for name in ("bound.onnx", "calibration.npz"):
        assert (first / name).read_bytes() == (second / name).read_bytes()
