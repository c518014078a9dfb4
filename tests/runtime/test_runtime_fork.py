"""A model in a process that forks: the child may use, close or leave it, and the parent keeps its own."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest

from tests.conftest import ROOT
from vaekit.bundle.manifest import Graph
from vaekit.errors import DeviceError
from vaekit.runtime import Model
from vaekit.runtime.session import Session

ROWS = 3_000  # enough for several threads of ONNX Runtime to share a call


def forked(child: str, threads: int) -> str:
    """What a process prints that loads a model, forks a child that runs these lines, and then uses the model."""
    script = f"""
        import os, pickle, sys
        import numpy as np
        from vaekit import Model

        model = Model.load({str(ROOT / "models" / "breast-cancer")!r}, device="cpu", threads={threads})
        x = np.random.default_rng(0).normal(size=({ROWS}, 30)) + 10
        before = model.bound(x).elbo
        pid = os.fork()
        if pid == 0:
            {child}
            sys.exit(0)
        _, status = os.waitpid(pid, 0)
        assert os.waitstatus_to_exitcode(status) == 0, status
        assert np.array_equal(model.bound(x).elbo, before)
        copy = pickle.loads(pickle.dumps(model))
        assert np.array_equal(copy.bound(x).elbo, before)
        print("parent goes on")
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script)], capture_output=True, text=True, timeout=60, cwd=ROOT
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize(
    "child",
    ["pass", "model.close()", "del model", "assert np.array_equal(model.bound(x).elbo, before)"],
    ids=["exits", "closes", "deletes", "scores"],
)
def test_a_forked_child_leaves_the_parents_model_alone(child: str, threads: int) -> None:
    assert forked(child, threads) == "parent goes on\n"


def test_a_child_of_a_child_scores_too() -> None:
    child = "inner = os.fork(); assert len(model.bound(x).elbo); inner and os.waitpid(inner, 0)"
    assert forked(child, 2) == "parent goes on\n"


def test_a_session_that_cannot_be_opened_again_says_so() -> None:
    native = object()
    session = Session(native, Graph(file="x.onnx", sha256="0" * 64, inputs=(), outputs=()))
    assert session.native is native
    session.forget()
    with pytest.raises(DeviceError, match=r"forked process: load the model again with Model\.load"):
        _ = session.native


def test_a_child_whose_parent_has_closed_the_model_is_told_to_load_it() -> None:
    with Model.load(ROOT / "models" / "breast-cancer", device="cpu", threads=1) as model:
        x = np.full((1, 30), 10.0)
        graph = model.graphs["bound" if "bound" in model.graphs else "elbo"]
        for path in Path(model.bundle.copy).iterdir():
            path.unlink()
        graph.forget()
        with pytest.raises(DeviceError, match="deleted by the process that loaded the model"):
            model.bound(x)


def test_pickling_after_a_child_closed_the_bundle(tmp_path: Path) -> None:
    """The copy belongs to the process that made it: closing it elsewhere deletes nothing."""
    with Model.load(ROOT / "models" / "breast-cancer", device="cpu", threads=1) as model:
        pid = os.fork()
        if pid == 0:
            model.bundle.close()
            os._exit(0)
        os.waitpid(pid, 0)
        (tmp_path / "model.pickle").write_bytes(pickle.dumps(model))
        assert model.bundle.copy.is_dir()
    assert not model.bundle.copy.exists()
