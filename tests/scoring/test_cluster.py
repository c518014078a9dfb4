"""A local Ray cluster writes the same parts as one process."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any, cast

import numpy as np
import pyarrow.csv
import pyarrow.parquet as pq
import pytest

from vaekit.errors import DeviceError, InputError, StorageError, VaeError
from vaekit.scoring.batch.ray_engine import Actor, Actors, check

NO_RAY = importlib.util.find_spec("ray") is None
pytestmark = pytest.mark.timeout(300)


def vae(*words: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", "from vaekit.cli import main; main()", *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.fixture
def source(cancer_csv: Path, tmp_path: Path) -> Path:
    """A file of 569 rows in row groups of 100."""
    pq.write_table(pyarrow.csv.read_csv(cancer_csv), tmp_path / "rows.parquet", row_group_size=100)
    return tmp_path / "rows.parquet"


@pytest.mark.slow
@pytest.mark.skipif(NO_RAY, reason="ray is not installed: pip install 'vaekit[ray]'")
def test_actors_write_the_same_parts_as_one_process_and_resume_its_run(source, models_dir, tmp_path):
    asked = ["--models", models_dir, "--part-rows", "100", "--fdr", "0.2"]
    assert vae("score", "breast-cancer", source, tmp_path / "here", *asked).returncode == 0
    for name in ("there", "here"):  # a new run; then a run with missing parts
        (tmp_path / "here/_parts/00003.json").unlink(missing_ok=True)
        (tmp_path / "here/part-00004.parquet").unlink(missing_ok=True)
        done = vae("score", "breast-cancer", source, tmp_path / name, *asked, "--resume", "--engine", "ray")
        assert done.returncode == 0, done.stderr
        assert "569 rows in" in done.stdout
    assert "parts kept from an earlier run: 4 (369 rows)" in done.stdout
    here, there = (pq.read_table(tmp_path / name) for name in ("here", "there"))
    assert here.equals(there)
    assert here["is_discovery"].null_count == 0


@pytest.mark.slow
@pytest.mark.skipif(NO_RAY, reason="ray is not installed: pip install 'vaekit[ray]'")
def test_actors_write_the_same_explanations_as_one_process(source, models_dir, tmp_path):
    asked = ["--models", models_dir, "--part-rows", "300", "--explain", "2"]
    for name, engine in (("here", "local"), ("there", "ray")):
        done = vae("score", "breast-cancer", source, tmp_path / name, *asked, "--engine", engine)
        assert done.returncode == 0, done.stderr
    here, there = (pq.read_table(tmp_path / name) for name in ("here", "there"))
    assert here.equals(there)
    assert here.column_names[-8:-4] == ["odd_2", "odd_2_relief", "odd_2_p_value", "odd_2_expected"]
    assert here.column_names[-4:] == ["odd_2_value", "odd_2_low", "odd_2_high", "kl_p_value"]
    assert here["odd_1"].null_count == 0


@pytest.mark.slow
@pytest.mark.skipif(NO_RAY, reason="ray is not installed: pip install 'vaekit[ray]'")
def test_an_invalid_row_in_an_actor_is_one_line_on_stderr(source, models_dir, tmp_path):
    table = pq.read_table(source)
    at = table.column_names.index("mean radius")
    bad = [float("inf") if i == 250 else value for i, value in enumerate(table["mean radius"].to_pylist())]
    pq.write_table(table.set_column(at, "mean radius", [bad]), source, row_group_size=100)
    asked = ["--models", models_dir, "--part-rows", "100", "--engine", "ray", "--actors", "1"]
    done = vae("score", "breast-cancer", source, tmp_path / "out", *asked)
    assert done.returncode == 1
    assert "row 250, feature 'mean radius': not finite: inf; --quarantine FILE sets" in done.stderr


POOL = """
    import os, sys, time
    from pathlib import Path
    from vaekit.runtime import Model
    from vaekit.scoring import LocalScorer, Options, score_folder
    from vaekit.scoring.batch.ray_engine import Actors, ScorerFactory, on_ray

    class Slow(LocalScorer):
        def score(self, x):
            Path(notes, str(os.getpid())).touch()
            time.sleep(1.0)
            return super().score(x)

    class SlowFactory(ScorerFactory):
        def make(self):
            return Slow(Model.load(self.bundle, device="cpu", threads=1), **self.options)

    bundle, source, out, notes = sys.argv[1:]
    factory = SlowFactory(bundle, {"num_samples": None, "alpha": 0.05, "explain": None})
    with Model.load(bundle, device="cpu", threads=1) as model, on_ray(factory, Actors(1, 2)) as engine:
        scorer = LocalScorer(model, **factory.options)
        print(score_folder(scorer, source, out, options=Options(part_rows=25), engine=engine).rows)
"""


@pytest.mark.slow
@pytest.mark.skipif(NO_RAY, reason="ray is not installed: pip install 'vaekit[ray]'")
@pytest.mark.skipif((os.cpu_count() or 1) < 2, reason="an actor has a core to itself")
def test_a_pool_of_one_actor_grows_while_parts_are_waiting(cancer_csv, models_dir, tmp_path):
    source, notes = tmp_path / "rows.parquet", tmp_path / "notes"
    pq.write_table(pyarrow.csv.read_csv(cancer_csv)[:300], source, row_group_size=25)
    notes.mkdir()
    words = map(str, (models_dir / "breast-cancer" / "1", source, tmp_path / "out", notes))
    command = [sys.executable, "-c", textwrap.dedent(POOL), *words]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.endswith("300\n")
    assert len(list(notes.iterdir())) == 2  # processes


@pytest.mark.parametrize(("text", "least", "most"), [(None, 1, None), ("2", 2, 2), ("1:8", 1, 8)])
def test_actors_parses_a_number_or_a_range(text, least, most):
    assert Actors.of(text) == Actors(least, most)


@pytest.mark.parametrize("text", ["0:2", "3:2", "x", "1:", ":3"])
def test_an_invalid_range_of_actors_is_refused(text):
    with pytest.raises(InputError, match="actors"):
        Actors.of(text)


def test_the_ray_engine_is_refused_if_the_output_is_one_file(source, models_dir, tmp_path):
    done = vae("score", "breast-cancer", source, tmp_path / "out.csv", "--models", models_dir, "--engine", "ray")
    assert "--engine: needs a folder as output" in done.stderr


@pytest.mark.parametrize(
    ("given", "raised"), [(StorageError, StorageError), (InputError, InputError), (DeviceError, InputError)]
)
def test_a_full_disk_in_an_actor_stays_an_error_of_storage(given: type[VaeError], raised: type[VaeError]) -> None:
    class Job:
        def score(self, *_: Any) -> Any:
            raise given("it failed")

    class Factory:
        def make(self) -> None: ...

    found = Actor(cast(Any, Factory()), cast(Any, Job()), {0: None})({"number": np.array([0])})
    with pytest.raises(raised, match=r"^it failed$"):
        check({name: values[0] for name, values in found.items()})
