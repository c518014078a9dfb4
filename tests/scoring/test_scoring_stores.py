"""Inputs and outputs in an S3 object store: objects are complete or absent, and each row is written once."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest

from tests.scoring.conftest import Squares
from tests.scoring.test_folder import Stops, read, rows
from tests.scoring.test_quarantine import BAD_CSV
from tests.stores import Store, storing
from vaekit.errors import InputError, VaeError
from vaekit.scoring import Options, score_file, score_folder
from vaekit.storage.paths import names_a_folder, storage_path

OPTIONS = Options(part_rows=20, partitions=True, fdr=0.4)
BEGINS = "?uploads"  # end of the request that starts an upload


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    """An S3 server that the environment variables point to."""
    with storing(tmp_path / "store") as found:
        for name, value in found.environment.items():
            monkeypatch.setenv(name, value)
        yield found


@pytest.fixture
def bucket(store: Store) -> Path:
    """The folder behind s3://bucket, with two files of 50 and 33 rows below in/, in row groups of 10."""
    home = store.folder / "bucket"
    for day, n in ((1, 50), (2, 33)):
        (home / f"in/day={day}").mkdir(parents=True)
        pq.write_table(rows(n, day), home / f"in/day={day}/x.parquet", row_group_size=10)
    return home


def whole(bucket: Path, tmp_path: Path) -> pa.Table:
    """The output of the same run on the local disk."""
    score_folder(Squares(), bucket / "in", tmp_path / "whole", options=OPTIONS)
    return read(tmp_path / "whole")


def names(store: Store, under: str = "out/") -> list[str]:
    return [key.removeprefix(under) for key in store.objects() if key.startswith(under)]


def all_of_a_run() -> list[str]:
    """The names of all objects of a complete run with five parts."""
    days = [1, 1, 1, 2, 2]
    parts = [f"day={day}/part-{number:05}.parquet" for number, day in enumerate(days)]
    return sorted([*parts, *(f"_parts/{number:05}.json" for number in range(5)), "_run.json", "_SUCCESS"])


@pytest.mark.slow
def test_vae_score_reads_and_writes_files_in_an_object_store(store, cancer_csv, models_dir, tmp_path):
    table = pyarrow.csv.read_csv(cancer_csv)
    pq.write_table(table, store.folder / "bucket/rows.parquet", row_group_size=100)
    pq.write_table(table, tmp_path / "rows.parquet", row_group_size=100)
    for source, output in (("s3://bucket/rows.parquet", "s3://bucket/out.parquet"), ("rows.parquet", "out.parquet")):
        words = ["score", "breast-cancer", source, output, "--models", str(models_dir), "--fdr", "0.2"]
        command = [sys.executable, "-c", "from vaekit.cli import main; main()", *words]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        assert f"written to {output}" in done.stdout
    assert store.objects() == ["out.parquet", "rows.parquet"]
    assert pq.read_table(store.folder / "bucket/out.parquet").equals(pq.read_table(tmp_path / "out.parquet"))


@pytest.mark.parametrize("output", ["s3://bucket/out", "s3://bucket/out/"])
def test_a_stopped_run_in_an_object_store_is_resumed(store, bucket, scorer, tmp_path, output):
    with pytest.raises(KeyboardInterrupt):
        score_folder(Stops(), "s3://bucket/in", output, options=OPTIONS)
    assert names(store) == ["_parts/00000.json", "_run.json", "day=1/part-00000.parquet"]
    with pytest.raises(InputError, match=r"s3://bucket/out/?: the folder has a run already"):
        score_folder(scorer, "s3://bucket/in", output, options=OPTIONS)
    summary = score_folder(scorer, "s3://bucket/in", output, options=OPTIONS, resume=True)
    assert (summary.before.parts, summary.rows, len(scorer.rows)) == (1, 83, 63)
    assert names(store) == all_of_a_run()
    assert read(bucket / "out").equals(whole(bucket, tmp_path))


KILLED = """
    from tests.scoring.conftest import Squares
    from tests.scoring.test_scoring_stores import OPTIONS
    from vaekit.scoring import score_folder

    score_folder(Squares(), "s3://bucket/in", "s3://bucket/out", options=OPTIONS, resume=True)
"""


class Kills:
    """Kills a process when it completes upload number `at`. The server handles the request if `at` is even."""

    def __init__(self, process: subprocess.Popen[str], at: int) -> None:
        self._process, self._at, self._sent = process, at, 0

    def __call__(self, request: str) -> bool:
        self._sent += request.startswith("POST") and not request.endswith(BEGINS)
        if self._sent != self._at:
            return True
        self._process.kill()
        self._process.wait()
        return self._at % 2 == 0


@pytest.mark.slow
def test_a_run_killed_during_any_upload_resumes_without_lost_rows_or_extra_objects(store, bucket, tmp_path):
    killed = 0
    for at in range(1, 40):
        command = [sys.executable, "-c", textwrap.dedent(KILLED)]
        with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
            store.before = Kills(process, at)
            stderr = process.stderr.read()
        if process.returncode == 0:
            break
        assert process.returncode == -signal.SIGKILL, stderr
        killed += 1
    assert process.returncode == 0
    assert killed > 3
    assert names(store) == all_of_a_run()
    assert read(bucket / "out").equals(whole(bucket, tmp_path))


def test_an_interrupted_upload_is_finished(store, bucket, scorer):
    def interrupt(request: str) -> bool:
        if request.startswith("POST /bucket/out.parquet") and request.endswith(BEGINS):
            os.kill(os.getpid(), signal.SIGINT)
        return True

    store.before = interrupt
    with pytest.raises(KeyboardInterrupt):
        score_file(scorer, "s3://bucket/in", "s3://bucket/out.parquet")
    assert pq.read_table(bucket / "out.parquet").num_rows == 83


@pytest.mark.parametrize("there", [False, True])
def test_a_failed_upload_leaves_the_old_object_or_none(store, bucket, scorer, there):
    if there:
        (bucket / "out.parquet").write_bytes(b"old")
    before = store.objects()
    store.before = lambda request: "partNumber" not in request
    with pytest.raises(VaeError, match=r"s3://bucket/out.parquet: cannot be written"):
        score_file(scorer, "s3://bucket/in", "s3://bucket/out.parquet")
    assert store.objects() == before
    assert not there or (bucket / "out.parquet").read_bytes() == b"old"


@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_invalid_rows_of_a_csv_are_quarantined_in_an_object_store(bucket, scorer, ending):
    (bucket / "rows.csv").write_text(BAD_CSV)
    options = Options(quarantine=storage_path(f"s3://bucket/bad.{ending}"))
    summary = score_file(scorer, "s3://bucket/rows.csv", f"s3://bucket/out.{ending}", options=options)
    assert (summary.rows, summary.quarantined) == (2, 4)
    table = {"csv": pyarrow.csv.read_csv, "parquet": pq.read_table}[ending]
    assert table(bucket / f"out.{ending}")["a"].to_pylist() == [1.0, 6.0]
    assert table(bucket / f"bad.{ending}")["bad_row"].to_pylist() == [1, 2, 3, 4]


def test_invalid_rows_of_all_parts_are_joined_in_one_quarantine_object(store, bucket, scorer):
    (bucket / "rows.csv").write_text(BAD_CSV)
    options = Options(quarantine=storage_path("s3://bucket/bad.csv"))
    assert score_folder(scorer, "s3://bucket/rows.csv", "s3://bucket/out", options=options).quarantined == 4
    assert names(store) == [
        "_SUCCESS",
        "_parts/00000.json",
        "_quarantine/00000.parquet",
        "_run.json",
        "part-00000.parquet",
    ]
    assert pyarrow.csv.read_csv(bucket / "bad.csv")["bad_column"].to_pylist() == ["a", "b", "c", "b"]


@pytest.mark.usefixtures("bucket")
@pytest.mark.parametrize("output", ["s3://nobucket/out.parquet", "s3://nobucket/out", "s3://nobucket"])
def test_an_output_in_a_missing_bucket_is_refused_before_any_row_is_scored(scorer, output):
    run = score_folder if names_a_folder(output) else score_file
    with pytest.raises(InputError, match=f"{output}: bucket 'nobucket' does not exist"):
        run(scorer, "s3://bucket/in", output)
    assert scorer.seen == []


@pytest.mark.usefixtures("bucket")
def test_an_input_or_a_quarantine_file_in_a_missing_bucket_is_refused(scorer):
    with pytest.raises(InputError, match=r"s3://nobucket/x.parquet: no such file or folder"):
        score_file(scorer, "s3://nobucket/x.parquet", "s3://bucket/out.parquet")
    options = Options(quarantine=storage_path("s3://nobucket/bad.csv"))
    with pytest.raises(InputError, match=r"s3://nobucket/bad.csv: bucket 'nobucket' does not exist"):
        score_file(scorer, "s3://bucket/in", "s3://bucket/out.parquet", options=options)
    assert scorer.seen == []


@pytest.mark.usefixtures("bucket")
def test_an_output_that_is_the_input_or_lies_in_it_is_refused_in_an_object_store(scorer):
    with pytest.raises(InputError, match="input and output are the same file"):
        score_file(scorer, "s3://bucket/in/day=1/x.parquet", "s3://bucket/in/day=1/x.parquet")
    with pytest.raises(InputError, match="lies in the input"):
        score_folder(scorer, "s3://bucket/in", "s3://bucket/in/out")


@pytest.mark.usefixtures("bucket")
def test_a_uri_can_name_the_endpoint_of_its_object_store(store, scorer, monkeypatch):
    monkeypatch.delenv("AWS_ENDPOINT_URL")
    where = f"scheme=http&endpoint_override={store.host}"
    score_folder(scorer, f"s3://bucket/in?{where}", f"s3://bucket/out?{where}", options=OPTIONS)
    assert names(store) == all_of_a_run()
    part = storage_path(f"s3://bucket/out?{where}").below("part-00000.parquet")
    assert (part.fs_path, str(part)) == ("bucket/out/part-00000.parquet", f"s3://bucket/out/part-00000.parquet?{where}")
    assert names_a_folder(f"s3://bucket/out?{where}")
    assert not names_a_folder(f"s3://bucket/out.parquet?{where}")


@pytest.mark.usefixtures("bucket")
def test_credentials_in_a_uri_are_used_and_never_shown(store, scorer, monkeypatch):
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    done = score_folder(scorer, "s3://id:hunter2@bucket/in", "s3://id:hunter2@bucket/out", options=OPTIONS)
    assert names(store) == all_of_a_run()
    done.write(storage_path("s3://id:hunter2@bucket/summary.json"))
    written = [(store.folder / "bucket" / key).read_bytes() for key in store.objects()]
    assert not any(b"hunter2" in one for one in written)
    assert "hunter2" not in f"{done} {storage_path('s3://id:hunter2@bucket/out').below('part')}"
    assert str(storage_path("s3://id:hunter2@bucket/out")) == "s3://bucket/out"
    with pytest.raises(InputError) as refused:
        storage_path("nowhere://id:hunter2@bucket/out")
    assert "hunter2" not in str(refused.value)
