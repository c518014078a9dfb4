"""Bundles in MLflow: what is logged, on a real server, and what `mlflow models serve` answers.

MLflow needs another pyarrow than this project's, so it has an environment of its own. The tests that need it are slow.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from time import monotonic, sleep
from typing import Any

import httpx
import numpy as np
import pandas as pd
import pytest
from filelock import FileLock
from numpy.typing import NDArray

from benchmarks import venvs
from benchmarks.processes import free_port
from tests.kinds import NAMES, Published, mixed_rows, series_columns
from tests.versions import add_version
from vaekit.bundle.manifest import FORMAT
from vaekit.bundle.read import read_manifest
from vaekit.errors import InputError, MissingExtra
from vaekit.mlflow import Scorer, log_run, metrics_of, params_of, tags_of
from vaekit.runtime import Model

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "how-to" / "mlflow.md"
PEERS = ROOT / "build" / "benchmarks" / "peers"
MLFLOW = venvs.Peer("mlflow", ("mlflow==3.17.2",))
LISTENING = r"(?:Uvicorn running on|Listening at:) (http://127\.0\.0\.1:\d+)"
SCRIPT = """
import json, sys
import mlflow, pandas as pd
import vaekit.mlflow

run_id, uri, frame = sys.argv[1:]
frame = pd.read_json(frame, orient="split")
client = mlflow.MlflowClient()
run = client.get_run(run_id)
with vaekit.mlflow.load_model(uri, device="cpu") as model:
    mu = model.encode(frame).mu[0].tolist()
model = mlflow.pyfunc.load_model(uri)
scores = model.predict(frame)
strict = model.predict(frame, params={"alpha": 0.001})
print(json.dumps({
    "params": run.data.params, "metrics": run.data.metrics, "tags": run.data.tags, "status": run.info.status,
    "experiment": client.get_experiment(run.info.experiment_id).name,
    "report": sorted(each.path for each in client.list_artifacts(run_id, "report")),
    "scores": scores.to_dict("list"), "index": scores.index.tolist(), "strict": strict["is_anomaly"].tolist(), "mu": mu,
}))
"""


@pytest.fixture
def frame(benign_rows: NDArray[np.float64], breast_cancer: Model) -> pd.DataFrame:
    """Four benign rows and one that is far out, with an index of its own."""
    rows = np.vstack([benign_rows[:4], benign_rows[4] * 3])
    names = breast_cancer.manifest.input.names  # type: ignore[union-attr]  # a table
    return pd.DataFrame(rows, columns=list(names), index=[10, 20, 30, 40, 50])


def test_a_scorer_gives_what_the_model_and_its_calibration_give(breast_cancer: Model, frame: pd.DataFrame) -> None:
    found = Scorer(breast_cancer).predict(frame, {"alpha": 0.1})
    bound, calibration = breast_cancer.bound(frame), breast_cancer.calibration()
    assert not isinstance(calibration, str)
    verdict = calibration.verdict(bound, 0.1)
    assert found.index.tolist() == [10, 20, 30, 40, 50]
    assert found["score"].tolist() == (-bound.elbo).tolist()
    assert found["p_value"].tolist() == verdict.p_value.tolist()
    assert found["is_anomaly"].tolist() == (verdict.p_value <= 0.1).tolist()
    assert found["is_anomaly"].iloc[-1]
    assert Scorer(breast_cancer).predict(frame.to_numpy())["score"].tolist() == found["score"].tolist()
    with pytest.raises(InputError):
        Scorer(breast_cancer).predict(frame, {"alpha": 0})


def test_tolerance_rules_of_the_bundle_remove_alarms(
    models_dir: Path, breast_cancer: Model, frame: pd.DataFrame, tmp_path: Path
) -> None:
    shutil.copytree(models_dir / "breast-cancer", tmp_path / "breast-cancer")
    rules = {"mean radius": {"above": "any", "below": 0.0}}
    folder = add_version(tmp_path, 2, says={"format": FORMAT, "ignore": rules})
    frame.iloc[3, 0] *= 2  # far above, in one column
    before = Scorer(breast_cancer).predict(frame)
    with Model.load(folder, device="cpu") as ruled:
        after = Scorer(ruled).predict(frame)
    assert before["is_anomaly"].tolist()[3:] == [True, True]
    assert after["is_anomaly"].tolist()[3:] == [False, True]
    assert after["p_value"].tolist() == before["p_value"].tolist()


def test_a_model_without_a_calibration_has_no_verdicts(breast_cancer: Model, frame: pd.DataFrame) -> None:
    with Model.load(breast_cancer.bundle.source, device="cpu") as model:
        model._calibrations = {}
        found = Scorer(model).predict(frame)
    assert found[["p_value", "is_anomaly"]].isna().all(axis=None)
    assert found["score"].notna().all()


def test_time_steps_without_a_window_have_no_scores_and_no_verdicts(windowed: Published) -> None:
    steps = pd.DataFrame(series_columns(10))
    with Model.load(windowed.folder, device="cpu") as model:
        found, bound = Scorer(model).predict(steps), model.bound(steps)
    lost = np.isnan(bound.elbo)
    assert 0 < lost.sum() < len(steps)
    for name in found:
        assert found[name].isna().tolist() == lost.tolist(), name


def test_rows_of_all_kinds_of_columns_are_scored(mixed: Published) -> None:
    rows = pd.DataFrame(mixed_rows(20), columns=NAMES)
    with Model.load(mixed.folder, device="cpu") as model:
        found = Scorer(model).predict(rows)
        assert found["score"].tolist() == (-model.bound(rows).elbo).tolist()


def test_images_are_scored_too(digits: Model, digit_images: NDArray[np.uint8]) -> None:
    found = Scorer(digits).predict(digit_images[:3])
    assert found["score"].tolist() == (-digits.bound(digit_images[:3]).elbo).tolist()


def test_config_figures_and_provenance_are_logged_by_name(models_dir: Path, shown: Published) -> None:
    for folder in (models_dir / "breast-cancer" / "1", models_dir / "digits" / "1", shown.root / shown.name / "1"):
        manifest = read_manifest(folder)
        params, metrics, tags = params_of(manifest), metrics_of(manifest), tags_of(manifest)
        assert params["name"] == manifest.name
        assert params["seed"] == str(manifest.provenance.seed)
        assert {name for name in metrics if not name.endswith("_standard_error")} == set(manifest.metrics)
        assert tags["vaekit.model"] == f"{manifest.name}@1"
        names = [*params, *metrics, *tags]
        assert all(re.fullmatch(r"[\w\-. :/]{1,250}", name) for name in names)
        assert all(isinstance(value, str) and len(value) <= 6000 for value in params.values())


def test_without_mlflow_the_error_says_what_to_install(models_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "mlflow", None)
    with pytest.raises(MissingExtra, match="pip install 'mlflow"):
        log_run(models_dir / "breast-cancer")


@pytest.fixture(scope="session")
def python() -> Path:
    """The Python of MLflow's environment, which is made by the first test that needs it."""
    PEERS.mkdir(parents=True, exist_ok=True)
    with FileLock(PEERS / "mlflow.lock"):
        found = venvs.make(MLFLOW, PEERS).absolute()
        uvicorn = found.with_name(
            "uvicorn"
        )  # `mlflow models serve` calls it; that of the other environment has no MLflow
        uvicorn.write_text(f'#!/bin/sh\nexec "{found}" -m uvicorn "$@"\n')
        uvicorn.chmod(0o755)
    return found


def environment(python: Path, **more: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("MLFLOW_", "VAE_"))}
    paths = [str(ROOT), str(ROOT / "service"), str(ROOT / "training")]
    path = f"{python.parent}{os.pathsep}{kept['PATH']}"
    return {**kept, "PATH": path, "PYTHONPATH": os.pathsep.join(paths), "MLFLOW_DISABLE_TELEMETRY": "true", **more}


@contextmanager
def listening(command: list[str], folder: Path, env: dict[str, str]) -> Iterator[str]:
    """Run a server of MLflow, and yield its address once it answers; stop it at the end."""
    log = folder / f"{command[3]}.txt"
    with log.open("w") as file:
        address = ["--host", "127.0.0.1", "--port", str(free_port())]  # it takes no 0
        process = subprocess.Popen([*command, *address], cwd=folder, env=env, stdout=file, stderr=file)
        try:
            end = monotonic() + 120
            while (match := re.search(LISTENING, log.read_text())) is None:
                assert process.poll() is None, log.read_text()
                assert monotonic() < end, log.read_text()
                sleep(0.2)
            yield match[1]
        finally:
            process.terminate()
            process.wait(60)


def finished(command: list[str], folder: Path, env: dict[str, str]) -> str:
    done = subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_logged_run_has_params_metrics_report_and_a_model_that_mlflow_serves(
    python: Path, breast_cancer: Model, frame: pd.DataFrame, tmp_path: Path
) -> None:
    vae = [str(python), "-c", "from vaekit.cli import main; main()"]
    server = [str(python), "-m", "mlflow", "server", "--backend-store-uri", f"sqlite:///{tmp_path}/mlflow.db"]
    server += ["--artifacts-destination", str(tmp_path / "artifacts"), "--workers", "1"]
    with listening(server, tmp_path, environment(python)) as uri:
        env = environment(python, MLFLOW_TRACKING_URI=uri)
        shown = finished([*vae, "mlflow", "--help"], tmp_path, {**env, "COLUMNS": "200", "NO_COLOR": "1"})
        for folder in ("models", "examples"):
            (tmp_path / folder).symlink_to(ROOT / folder)
        for line in re.findall(r"\$ vae (mlflow .*?) *$", shown, re.MULTILINE):
            words = shlex.split(line.replace("http://127.0.0.1:5000", uri))
            logged = json.loads(finished([*vae, *words, "--json"], tmp_path, env))
            frame.to_json(tmp_path / "frame.json", orient="split")
            arguments = [logged["run"], logged["model"], str(tmp_path / "frame.json")]
            found = json.loads(finished([str(python), "-c", SCRIPT, *arguments], tmp_path, env).splitlines()[-1])
            _check(found, breast_cancer, frame)
        assert found["experiment"] == "Default"  # of the last example, which registers the model
        for snippet in re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL):
            finished([str(python), "-c", snippet.replace("http://127.0.0.1:5000", uri)], tmp_path, env)
        serve = [str(python), "-m", "mlflow", "models", "serve", "-m", "models:/cancer/1", "--env-manager", "local"]
        with listening(serve, tmp_path, env) as address:
            _check_served(address, found["scores"], frame)


def _check(found: dict[str, Any], model: Model, frame: pd.DataFrame) -> None:
    """What the server has of a run, and what the loaded model gives."""
    manifest = model.manifest
    assert (found["status"], found["tags"]["vaekit.model"]) == ("FINISHED", "breast-cancer@1")
    assert found["params"] == params_of(manifest)
    assert found["metrics"] == pytest.approx(metrics_of(manifest))
    assert {"report/report.html", "report/model-card.md"} <= set(found["report"])
    expected = Scorer(model).predict(frame)
    assert found["scores"] == {name: pytest.approx(expected[name].tolist()) for name in expected}
    assert found["index"] == frame.index.tolist()
    assert found["strict"] == [False] * 5  # no p-value is so small
    assert found["mu"] == pytest.approx(model.encode(frame).mu[0].tolist(), rel=1e-5)


def _check_served(address: str, expected: dict[str, list[Any]], frame: pd.DataFrame) -> None:
    """The answers of `mlflow models serve`."""
    split = {"columns": list(frame), "data": frame.to_numpy().tolist()}
    for body in ({"dataframe_split": split}, {"dataframe_records": frame.to_dict("records")}):
        reply = httpx.post(f"{address}/invocations", json=body, timeout=60)
        assert reply.status_code == 200, reply.text
        rows = reply.json()["predictions"]
        for name, values in expected.items():
            assert [row[name] for row in rows] == pytest.approx(values)
    reply = httpx.post(
        f"{address}/invocations", json={"dataframe_split": split, "params": {"alpha": 0.001}}, timeout=60
    )
    assert [row["is_anomaly"] for row in reply.json()["predictions"]] == [False] * 5
    missing = {"columns": list(frame)[1:], "data": frame.iloc[:, 1:].to_numpy().tolist()}
    refused = httpx.post(f"{address}/invocations", json={"dataframe_split": missing}, timeout=60)
    assert refused.status_code == 400
    assert "mean radius" in refused.text
