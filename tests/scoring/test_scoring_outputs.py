"""Scoring writes the complete output or nothing."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest

from vaekit.errors import InputError, VaeError
from vaekit.scoring import APPENDED, score_file
from vaekit.scoring.files import writer
from vaekit.scoring.files.writer import replacing

ROWS = pa.table({"a": np.arange(10.0), "b": np.arange(10.0) * 3, "c": np.arange(10.0) % 2})


@pytest.fixture
def source(tmp_path: Path) -> Path:
    pq.write_table(ROWS, tmp_path / "rows.parquet")
    return tmp_path / "rows.parquet"


def test_the_summary_counts_rows_and_anomalies(scorer, source, tmp_path):
    summary = score_file(scorer, source, tmp_path / "out.csv")
    assert (summary.rows, summary.anomalies, summary.share) == (10, 6, 0.6)
    assert str(summary.output) == str(tmp_path / "out.csv")
    assert summary.rows_per_second == pytest.approx(10 / summary.seconds)


def test_rows_are_scored_in_batches_of_the_requested_size(scorer, source, tmp_path):
    score_file(scorer, source, tmp_path / "out.csv", batch_rows=3)
    assert [len(x) for x in scorer.seen] == [3, 3, 3, 1]


@pytest.mark.usefixtures("source")
@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_progress_ends_at_the_size_of_the_input(scorer, tmp_path, ending):
    pyarrow.csv.write_csv(ROWS, tmp_path / "rows.csv")
    reported: list[tuple[int, int, str]] = []
    read = tmp_path / f"rows.{ending}"
    score_file(scorer, read, tmp_path / "out.csv", progress=lambda *args: reported.append(args))
    assert reported[-1] == ((read.stat().st_size,) * 2 + ("bytes",) if ending == "csv" else (10, 10, "rows"))
    assert [done for done, _, _ in reported] == sorted(done for done, _, _ in reported)


def test_without_a_calibration_p_values_and_verdicts_are_null(scorer, source, tmp_path):
    scorer.reason = "the model has no calibration"
    summary = score_file(scorer, source, tmp_path / "out.parquet")
    table = pq.read_table(tmp_path / "out.parquet")
    assert table["p_value"].null_count == table["is_anomaly"].null_count == 10
    assert table.schema.field("is_anomaly").type == pa.bool_()
    assert (summary.anomalies, summary.reason) == (None, "the model has no calibration")


def test_csv_output_keeps_every_float_exactly(scorer, tmp_path):
    rng = np.random.default_rng(0)
    values = np.concatenate([rng.standard_normal(500) * 10.0 ** rng.integers(-300, 300, 500), [5e-324, -0.0, 1e22]])
    pq.write_table(
        pa.table({"a": np.zeros(503), "b": np.zeros(503), "c": np.zeros(503), "v": values}), tmp_path / "x.parquet"
    )
    score_file(scorer, tmp_path / "x.parquet", tmp_path / "out.csv")
    np.testing.assert_array_equal(pyarrow.csv.read_csv(tmp_path / "out.csv")["v"].to_numpy(), values)


def test_the_output_has_the_permissions_of_the_umask(scorer, source, tmp_path):
    (tmp_path / "plain").touch()
    score_file(scorer, source, tmp_path / "out.csv")
    assert (tmp_path / "out.csv").stat().st_mode == (tmp_path / "plain").stat().st_mode


def test_the_output_keeps_the_metadata_of_the_input(scorer, tmp_path):
    pq.write_table(ROWS.replace_schema_metadata({"origin": "plant 7"}), tmp_path / "x.parquet")
    score_file(scorer, tmp_path / "x.parquet", tmp_path / "out.parquet")
    assert pq.read_schema(tmp_path / "out.parquet").metadata[b"origin"] == b"plant 7"


class Stops:
    """Fails on its second batch."""

    def __init__(self, scorer: Any, error: BaseException) -> None:
        self._scorer, self._error = scorer, error
        self.spec, self.model, self.alpha, self.reason = scorer.spec, scorer.model, scorer.alpha, None
        self.most_missing, self.id_column = scorer.most_missing, None
        self.batch_rows, self.appended, self.held_out, self.held_out_p_values = 4, APPENDED, None, None

    def score(self, x: Any) -> Any:
        if self._scorer.seen:
            raise self._error
        return self._scorer.score(x)


@pytest.mark.parametrize("error", [KeyboardInterrupt(), InputError("a bad row"), MemoryError()], ids=repr)
@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_a_run_that_stops_leaves_only_the_old_output(scorer, source, tmp_path, error, ending):
    output = tmp_path / f"out.{ending}"
    output.write_text("the old one")
    before = sorted(tmp_path.iterdir())
    with pytest.raises(type(error)):
        score_file(Stops(scorer, error), source, output)
    assert sorted(tmp_path.iterdir()) == before
    assert output.read_text() == "the old one"


def test_an_existing_output_is_replaced(scorer, source, tmp_path):
    (tmp_path / "out.csv").write_text("the old one")
    score_file(scorer, source, tmp_path / "out.csv")
    assert pyarrow.csv.read_csv(tmp_path / "out.csv").num_rows == 10


def test_a_symbolic_link_as_output_keeps_pointing_to_the_new_file(scorer, source, tmp_path):
    (tmp_path / "far").mkdir()
    (tmp_path / "out.csv").symlink_to(tmp_path / "far" / "real.csv")
    score_file(scorer, source, tmp_path / "out.csv")
    assert (tmp_path / "out.csv").is_symlink()
    assert pyarrow.csv.read_csv(tmp_path / "far" / "real.csv").num_rows == 10


def test_a_full_disk_is_a_one_sentence_error_and_leaves_no_files(tmp_path):
    def fill_the_disk() -> None:
        with replacing(tmp_path / "out.csv") as temp:
            temp.touch()
            raise OSError(28, "No space left on device")

    with pytest.raises(VaeError, match=r"out.csv: cannot be written: No space left"):
        fill_the_disk()
    assert list(tmp_path.iterdir()) == []


def link(kind: str, source: Path, to: Path) -> Path:
    {"same": lambda: None, "symlink": lambda: to.symlink_to(source), "hard link": lambda: os.link(source, to)}[kind]()
    return source if kind == "same" else to


@pytest.mark.parametrize("kind", ["same", "symlink", "hard link"])
def test_an_output_that_is_the_input_is_refused(scorer, source, tmp_path, kind):
    with pytest.raises(InputError, match="input and output are the same file"):
        score_file(scorer, source, link(kind, source, tmp_path / "other.parquet"))
    assert pq.read_table(source).equals(ROWS)


@pytest.mark.usefixtures("source")
def test_an_output_inside_the_input_folder_is_refused(scorer, tmp_path):
    with pytest.raises(InputError, match="lies in the input"):
        score_file(scorer, tmp_path, tmp_path / "out.parquet")


@pytest.mark.parametrize(
    ("output", "message"),
    [
        ("out.txt", "ends in .parquet or .csv"),
        ("none/out.csv", "does not exist"),
        ("folder.csv", "an existing folder"),
    ],
)
def test_an_invalid_output_path_is_refused_before_any_row_is_scored(scorer, source, tmp_path, output, message):
    (tmp_path / "folder.csv").mkdir()
    with pytest.raises(InputError, match=message):
        score_file(scorer, source, tmp_path / output)
    assert scorer.seen == []


@pytest.mark.parametrize(
    "cells",
    [
        pa.array([["x"]] * 10),
        pa.array([b"\xff"] * 10),
        pa.array([b"plain"] * 10, pa.large_binary()),
        pa.array([b"\xff\x00"] * 10, pa.binary(2)),
        pa.array([b"\xff"] * 10).dictionary_encode(),
    ],
    ids=lambda cells: str(cells.type),
)
def test_a_column_that_csv_cannot_store_is_refused_before_any_row_is_scored(scorer, tmp_path, cells):
    pq.write_table(ROWS.append_column("tags", cells), tmp_path / "x.parquet")
    with pytest.raises(InputError, match=r"column 'tags' of \w+.* cannot be written as CSV; use .parquet"):
        score_file(scorer, tmp_path / "x.parquet", tmp_path / "out.csv")
    assert scorer.seen == []


def test_bytes_that_csv_cannot_store_are_copied_to_parquet(scorer, tmp_path):
    pq.write_table(ROWS.append_column("tags", pa.array([b"\xff"] * 10)), tmp_path / "x.parquet")
    score_file(scorer, tmp_path / "x.parquet", tmp_path / "out.parquet")
    assert pq.read_table(tmp_path / "out.parquet")["tags"].to_pylist() == [b"\xff"] * 10


def test_an_arrow_write_error_is_one_sentence_and_leaves_no_files(tmp_path):
    def write() -> None:
        with replacing(tmp_path / "out.csv") as temp:
            pyarrow.csv.write_csv(pa.table({"x": [b"\xff"]}), temp)

    with pytest.raises(VaeError, match=r"out.csv: cannot be written: Invalid UTF8"):
        write()
    assert list(tmp_path.iterdir()) == []


SCRIPT = r"""
    import os, re, signal, sys
    from pathlib import Path
    import numpy as np
    from vaekit.bundle import VectorSpec
    from vaekit.bundle.input_spec import Column
    from vaekit.scoring import APPENDED, Scores, score_file

    class Cheap:
        spec = VectorSpec(columns=tuple(Column(name=f"c{d}") for d in range(20)))
        model, alpha, reason, batch_rows, stop = "cheap@1", 0.05, None, 20_000, False
        appended, held_out, held_out_p_values = APPENDED, None, None
        alpha_reason, most_missing, id_column = None, 0, None

        def score(self, x):
            if self.stop:
                os.kill(os.getpid(), signal.SIGINT)
            elbo = -x.sum(axis=1)
            return Scores(elbo, elbo, elbo * 0, elbo * 0 + 0.5, elbo > 9)

    Cheap.stop = sys.argv[3] == "stop"
    score_file(Cheap(), Path(sys.argv[1]), Path(sys.argv[2]))
    print(re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())[1])
"""


def in_a_process_of_its_own(source: Path, output: Path, *, stop: bool = False) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", textwrap.dedent(SCRIPT), str(source), str(output), "stop" if stop else "go"]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def random_table(n: int) -> pa.Table:
    rng = np.random.default_rng(0)
    return pa.table({f"c{d}": rng.standard_normal(n) for d in range(20)})


@pytest.mark.slow
@pytest.mark.parametrize("ending", ["csv", "parquet"])
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="the peak is read from /proc")
def test_memory_does_not_grow_with_the_input(tmp_path, ending):
    peaks, sizes = [], (200_000, 800_000)
    for n in sizes:
        path = tmp_path / f"{n}.{ending}"
        if ending == "csv":
            pyarrow.csv.write_csv(random_table(n), path)
        else:
            pq.write_table(random_table(n), path, row_group_size=n)  # one row group: the worst case
        done = in_a_process_of_its_own(path, tmp_path / "out.parquet")
        assert done.returncode == 0, done.stderr
        peaks.append(int(done.stdout) * 1024)
        path.unlink()
    assert peaks[1] - peaks[0] < 0.7 * (sizes[1] - sizes[0]) * 20 * 8


@pytest.mark.parametrize("fails_at", [1, 2])  # a group in the middle, and the last one
def test_a_failed_row_group_is_an_error_and_leaves_the_old_file(scorer, source, tmp_path, monkeypatch, fails_at):
    calls = []

    def full(*_args):
        calls.append(_args)
        if len(calls) > fails_at:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(writer, "ROW_GROUP", 1)  # one group per batch; there are three batches
    monkeypatch.setattr(pq.ParquetWriter, "write_table", full)
    out = tmp_path / "out.parquet"
    out.write_text("old")
    with pytest.raises(VaeError, match=r"out\.parquet: cannot be written: No space left on device"):
        score_file(scorer, source, out)
    assert len(calls) == fails_at + 1
    assert [path.name for path in tmp_path.iterdir() if path != source] == ["out.parquet"]
    assert out.read_text() == "old"


def test_ctrl_c_leaves_no_files(tmp_path):
    pq.write_table(random_table(50_000), tmp_path / "x.parquet")
    done = in_a_process_of_its_own(tmp_path / "x.parquet", tmp_path / "out.csv", stop=True)
    assert done.returncode in (-signal.SIGINT, 128 + signal.SIGINT)
    assert [path.name for path in tmp_path.iterdir()] == ["x.parquet"]


def test_the_appended_columns_are_pinned():
    assert APPENDED.names == ["elbo", "log_likelihood", "kl", "score", "p_value", "p_value_tail", "is_anomaly"]


def test_appended_columns_have_the_scorers_order_and_are_null_without_values(scorer, source, tmp_path):
    scorer.appended = pa.schema([("kl", pa.float32()), ("observed_count", pa.int64()), ("is_anomaly", pa.bool_())])
    score_file(scorer, source, tmp_path / "out.parquet")
    table = pq.read_table(tmp_path / "out.parquet")
    assert table.schema.names == [*ROWS.column_names, *scorer.appended.names]
    assert table.schema.field("kl").type == pa.float32()
    assert table["kl"].to_pylist() == [1.0] * 10
    assert table["observed_count"].null_count == 10
