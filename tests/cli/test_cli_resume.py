"""`vae train --run` and `vae train --resume` on the command line."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from vaekit.bundle import models, versions
from vaekit.cli import main

QUICK = ["network.hidden=[8]", "network.latent_dim=2", "training.checkpoint_every=5", "training.patience=10000"]


def start(folder: Path, *arguments: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "vaekit", "train", *arguments]
    environment = {**os.environ, "COLUMNS": "200", "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
    )


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_run_stopped_by_sigterm_is_resumed_and_published(tmp_path: Path) -> None:
    np.save(tmp_path / "rows.npy", np.random.default_rng(0).standard_normal((80, 2)))
    settings = [part for setting in (*QUICK, "training.steps=3000") for part in ("--set", setting)]
    process = start(tmp_path, "rows.npy", *settings)
    saved = tmp_path / "runs" / "rows" / "1" / "checkpoint.pt"
    while not saved.exists():
        assert process.poll() is None, process.communicate()
        time.sleep(0.01)
    process.send_signal(signal.SIGTERM)
    _, stderr = process.communicate(timeout=120)
    assert process.returncode == 143
    assert "of 3000; to resume: vae train --resume runs/rows/1; nothing was published" in stderr
    assert models(tmp_path / "models") == []

    np.save(tmp_path / "rows.npy", np.random.default_rng(1).standard_normal((80, 2)))
    other = start(tmp_path, "--resume", "runs/rows/1")
    _, stderr = other.communicate(timeout=120)
    assert other.returncode == 1
    assert "the run started with other data" in stderr

    np.save(tmp_path / "rows.npy", np.random.default_rng(0).standard_normal((80, 2)))
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    resumed = start(elsewhere, "--resume", "../runs/rows/1", "--models", "../models")
    out, stderr = resumed.communicate(timeout=120)
    assert resumed.returncode == 0, stderr
    assert out.strip() == "../models/rows/1"
    assert len(list(saved.parent.glob("events.out.tfevents.*"))) >= 2

    again = start(tmp_path, "--resume", "runs/rows/1")
    _, stderr = again.communicate(timeout=120)
    assert again.returncode == 1
    assert f"the run is finished and was published as {tmp_path}/models/rows/1" in stderr
    assert versions(tmp_path / "models", "rows") == [1]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "nothing to train: give CONFIG.toml or DATA, or --resume DIR"),
        (["--resume", "none"], "--resume none: no run to resume: config.toml does not exist"),
        (["rows.npy", "--resume", "none"], "leave out CONFIG.toml or DATA"),
        (["--resume", "none", "--set", "training.steps=3"], "leave out --set"),
        (["--resume", "none", "--run", "here"], "leave out --run"),
    ],
)
def test_invalid_uses_of_resume_are_refused(
    arguments: list[str],
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["vae", "train", *arguments])
    with pytest.raises(SystemExit) as stopped:
        main()
    assert stopped.value.code == 1
    assert message in capsys.readouterr().err
    assert not (tmp_path / "runs").exists()
