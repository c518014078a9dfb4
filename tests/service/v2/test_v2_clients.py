"""The real clients of the Open Inference Protocol: tritonclient, KServe's client and `mlserver infer`."""

from __future__ import annotations

import io
import json
import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from filelock import FileLock
from PIL import Image

from benchmarks import venvs
from tests.live import serving
from tests.service.keyed import KEYS, TEXT
from tests.service.v2.cases import TRITON, case_of
from vaekit.runtime import Model

HERE = Path(__file__).parent
PEERS = HERE.parents[2] / "build" / "benchmarks" / "peers"
PACKAGES = {
    "tritonclient": venvs.Peer("tritonclient", ("tritonclient[http]==2.73.0",)),
    "kserve": venvs.Peer("kserve", ("kserve==0.21.0",)),
    "mlserver": venvs.MLSERVER,
}
SCRIPTS = [("tritonclient", "triton_sync.py"), ("tritonclient", "triton_aio.py"), ("kserve", "kserve_client.py")]
pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


def python_of(package: str) -> Path:
    """The Python of a client's environment, which is made by the first test that needs it."""
    PEERS.mkdir(parents=True, exist_ok=True)
    with FileLock(PEERS / f"{package}.lock"):
        return venvs.make(PACKAGES[package], PEERS).absolute()


@pytest.fixture(scope="module")
def expected(tmp_path_factory: pytest.TempPathFactory, benign_rows: Any, digit_images: Any, models_dir: Path) -> Path:
    """A file of rows and images, and of what the models give for them, computed without a service."""
    rows, images = benign_rows[:3], digit_images[:2]
    files = []
    for image in images:
        Image.fromarray(image[..., 0]).save(file := io.BytesIO(), "PNG")
        files.append(file.getvalue().hex())
    with (
        Model.load(models_dir / "breast-cancer" / "1", device="cpu") as table,
        Model.load(models_dir / "digits" / "1", device="cpu") as digits,
    ):
        facts = {
            "rows": rows.tolist(),
            "names": list(table.manifest.input.names),  # type: ignore[union-attr]  # a table
            "elbo": table.elbo(rows).elbo.tolist(),
            "mu": table.encode(rows).mu.tolist(),
            "files": files,
            "image_elbo": digits.elbo(images).elbo.tolist(),
        }
    path = tmp_path_factory.mktemp("v2") / "expected.json"
    path.write_text(json.dumps(facts), encoding="utf-8")
    return path


@pytest.fixture(scope="module", params=["", "/a/base"], ids=["root", "base path"])
def url(request: pytest.FixtureRequest, models_dir: Path) -> Iterator[str]:
    """A service with keys and admin routes, at the root and below a base path."""
    with serving(models_dir, prefix=request.param, keys=TEXT, admin=True) as address:
        yield address + request.param


def run(package: str, arguments: list[str], **more: Any) -> str:
    """The output of a program in a client's environment."""
    environment = {**os.environ, "PYTHONPATH": "", "PYTHONIOENCODING": "utf-8"}
    done = subprocess.run(
        [str(python_of(package)), *arguments],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
        **more,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.parametrize(("package", "script"), SCRIPTS)
@case_of(TRITON, "input objects used twice", 200)
def test_a_client_gets_the_answers_of_the_models(package: str, script: str, url: str, expected: Path) -> None:
    path = HERE / "clients" / script
    done = run(package, [str(path), url, KEYS["all"], str(expected)])
    checks = re.findall(r"^(?:async )?def (check_\w+)", path.read_text(encoding="utf-8"), re.MULTILINE)
    assert done.split() == checks != []


@pytest.mark.parametrize("binary", [False, True])
def test_mlserver_infer_scores_a_file_of_requests(url: str, expected: Path, tmp_path: Path, binary: bool) -> None:
    facts = json.loads(expected.read_text(encoding="utf-8"))
    lines = [
        {"id": str(i), "inputs": [{"name": "inputs", "shape": [1, 30], "datatype": "FP64", "data": row}]}
        for i, row in enumerate(facts["rows"])
    ]
    given, found = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    given.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    arguments = ["-c", "from mlserver.cli.main import root; root()", "infer", "-u", url.removeprefix("http://")]
    arguments += ["-m", "breast-cancer", "-i", str(given), "-o", str(found), "-w", "2", "-s", "2"]
    arguments += ["-H", f"Authorization: Bearer {KEYS['all']}", *(["-b"] if binary else [])]
    run("mlserver", arguments, cwd=tmp_path)
    replies = [json.loads(line) for line in found.read_text(encoding="utf-8").splitlines()]
    elbo = {one["id"]: output["data"] for one in replies for output in one["outputs"] if output["name"] == "elbo"}
    assert sorted(elbo) == ["0", "1", "2"]
    np.testing.assert_allclose([elbo[str(i)][0] for i in range(3)], facts["elbo"], rtol=1e-6)
