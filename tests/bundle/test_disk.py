"""A full disk and a missing temporary folder: one sentence with the path, whichever operation meets it."""

from __future__ import annotations

import errno
import pickle
import subprocess
import sys
import tempfile
import textwrap
from pathlib import Path

import numpy as np
import pytest

from tests.conftest import ROOT
from vaekit import Detector, Model
from vaekit.bundle.disk import temporary_folder, writing
from vaekit.errors import InputError, StorageError

BREAST_CANCER = ROOT / "models" / "breast-cancer"
TABLE = np.random.default_rng(0).normal(size=(60, 2))
QUICK = {"training.steps": 20, "network": {"hidden": [4], "latent_dim": 2, "members": 1}, "prior.name": "normal"}


def limited(script: str, most: int) -> subprocess.CompletedProcess[str]:
    """Run Python lines in a process none of whose files may become larger than `most` bytes."""
    head = f"""
        import resource, sys
        sys.argv = ["vae"]
        resource.setrlimit(resource.RLIMIT_FSIZE, ({most}, {most}))
        from vaekit.cli import main
    """
    code = textwrap.dedent(head) + textwrap.dedent(script)
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, timeout=120)


def test_a_full_temporary_folder_is_one_sentence() -> None:
    done = limited("sys.argv += ['score', 'breast-cancer', 'examples/rows.csv', '/tmp/never.csv']; main()", 10_000)
    assert done.returncode == 1
    assert done.stderr.startswith("error: temporary folder /"), done.stderr
    assert "File too large; set TMPDIR to a folder with free space" in done.stderr
    assert "Traceback" not in done.stderr
    assert not Path("/tmp/never.csv").exists()


def test_a_full_models_folder_is_one_sentence_and_nothing_is_published(tmp_path: Path) -> None:
    script = f"""
        from vaekit.bundle import Manifest, publish
        from vaekit.errors import StorageError
        from pathlib import Path

        source = Path("models/breast-cancer/1")
        manifest = Manifest.model_validate_json((source / "manifest.json").read_bytes())
        files = {{part.file: (source / part.file).read_bytes() for part in manifest.files}}
        try:
            publish({str(tmp_path)!r}, manifest, files)
        except StorageError as exc:
            print(exc)
    """
    done = limited(script, 10_000)
    assert done.stdout == f"{tmp_path / 'breast-cancer'}: cannot be written: File too large\n", done.stderr
    assert list((tmp_path / "breast-cancer").iterdir()) == []


def test_a_full_disk_at_the_end_of_training_keeps_the_run(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    np.save(tmp_path / "rows.npy", TABLE)
    sets = ["training.steps=20", "network.hidden=[4]", "network.latent_dim=2", "likelihood.name=gaussian"]
    options = [f"--set={one}" for one in sets]
    trained = [
        "train",
        str(tmp_path / "rows.npy"),
        "--models",
        str(tmp_path / "models"),
        "--run",
        str(tmp_path / "run"),
    ]
    done = limited(f"sys.argv += {[*trained, *options]!r}; main()", 25_000)
    assert done.returncode == 1, done.stderr
    assert "Traceback" not in done.stderr
    said = " ".join(done.stderr.split())
    assert "File too large" in said
    assert f"vae train --resume {tmp_path / 'run'} publishes it" in said
    again = ["train", "--resume", str(tmp_path / "run"), "--models", str(tmp_path / "models")]
    done = limited(f"sys.argv += {again!r}; main()", 10_000_000)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "models" / "rows" / "1" / "manifest.json").is_file()


def test_a_full_disk_of_a_checkpoint_is_one_sentence(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    script = f"""
        import torch
        from pathlib import Path
        from vaekit_training.loop import checkpoint
        path = Path({str(tmp_path / "checkpoint.pt")!r})
        checkpoint.save(path, {{"x": torch.zeros(10)}})
        try:
            checkpoint.save(path, {{"x": torch.zeros(1_000_000)}})
        except Exception as exc:
            print(type(exc).__name__, exc)
        print(len(checkpoint.load(path)["x"]))
    """
    said, kept = limited(script, 100_000).stdout.splitlines()
    assert said.startswith(f"StorageError {tmp_path / 'checkpoint.pt'}: cannot be written: File too large; free some")
    assert f"vae train --resume {tmp_path}" in said
    assert kept == "10"
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoint.pt"]


def test_a_full_disk_stops_a_folder_of_parts_that_resume_goes_on_with(tmp_path: Path) -> None:
    x = np.random.default_rng(0).normal(size=(4_000, 30)) + 10
    np.save(tmp_path / "rows.npy", x)
    out = tmp_path / "scored"
    score = ["score", "breast-cancer", str(tmp_path / "rows.npy"), str(out), "--part-rows=1000", "--columns=none"]
    done = limited(f"sys.argv += {score!r}; main()", 400_000)  # the model fits, a part does as well
    assert done.returncode == 0, done.stderr
    big = ["score", "breast-cancer", str(tmp_path / "rows.npy"), str(tmp_path / "big"), "--part-rows=1000"]
    done = limited(f"sys.argv += {big!r}; main()", 200_000)
    assert done.returncode == 1
    said = " ".join(done.stderr.split())
    assert "cannot be written" in said
    assert "the same command with --resume goes on" in said
    done = limited(f"sys.argv += {[*big, '--resume']!r}; main()", 10_000_000)
    assert done.returncode == 0, done.stderr


@pytest.fixture
def no_temporary_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "absent"))


@pytest.mark.usefixtures("no_temporary_folder")
@pytest.mark.parametrize(
    "action",
    [
        lambda: Model.load(BREAST_CANCER),
        lambda: Detector(alpha=0.2, settings=QUICK).fit(TABLE),
        lambda: temporary_folder().__enter__(),
    ],
    ids=["load", "fit", "folder"],
)
def test_no_temporary_folder_is_one_sentence(action: object) -> None:
    assert callable(action)
    with pytest.raises(
        StorageError, match=r"^no temporary folder can be written: No such file or directory; set TMPDIR"
    ):
        action()


def test_no_temporary_folder_for_a_pickled_model(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with Model.load(BREAST_CANCER, device="cpu") as model:
        kept = pickle.dumps(model)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "absent"))
    with pytest.raises(StorageError, match="set TMPDIR"):
        pickle.loads(kept)


def test_training_without_a_temporary_folder_ends_before_the_first_step(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from vaekit_training.config import make_config
    from vaekit_training.run import train

    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "absent"))
    config = make_config({"name": "x", "data": {"source": "breast-cancer"}}, {"training.steps": 10**9})
    with pytest.raises(StorageError, match="set TMPDIR"):
        train(config, tmp_path)


def test_an_error_of_ours_is_not_translated_again() -> None:
    with pytest.raises(InputError, match=r"^row 3$"), writing("/models"):
        raise InputError("row 3")
    with pytest.raises(StorageError, match=r"^/a: full$"), writing("/models"):
        raise StorageError("/a: full")
    said = r"^/models: cannot be written: No space left; free some$"
    with pytest.raises(StorageError, match=said) as caught, writing("/models", "free some"):
        raise OSError(errno.ENOSPC, "No space left")
    assert isinstance(caught.value, OSError)
