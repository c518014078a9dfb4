"""Output as a folder of parts: complete, without duplicates, and resumable after any interruption."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyarrow import fs

from tests.scoring.conftest import Squares
from vaekit.errors import InputError
from vaekit.scoring import Options, score_file, score_folder
from vaekit.scoring.batch.invalid_rows import InvalidRowLimit
from vaekit.storage.paths import StoragePath, storage_path

OPTIONS = Options(part_rows=20)


def rows(n: int, seed: int = 0) -> pa.Table:
    rng = np.random.default_rng(seed)
    return pa.table({"id": np.arange(n), "a": rng.normal(0, 9, n), "b": rng.normal(0, 9, n), "c": np.arange(n) % 2})


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """Two files of 50 and 33 rows, in row groups of 10."""
    for day, n in ((1, 50), (2, 33)):
        (tmp_path / f"in/day={day}").mkdir(parents=True)
        pq.write_table(rows(n, day), tmp_path / f"in/day={day}/x.parquet", row_group_size=10)
    return tmp_path / "in"


def read(folder: Path) -> pa.Table:
    """All parts, in order."""
    return pa.concat_tables(pq.read_table(part, partitioning=None) for part in sorted(folder.glob("**/part-*.parquet")))


def whole(source: Path, **more: Any) -> pa.Table:
    """The output of the same run as a single file."""
    output = source.parent / "whole.parquet"
    score_file(Squares(), source, output, options=Options(**more))
    return pq.read_table(output)


def test_parts_are_consecutive_row_groups_with_the_rows_of_a_single_file(scorer, source, tmp_path):
    summary = score_folder(scorer, source, tmp_path / "out", options=OPTIONS)
    parts = sorted(path.name for path in (tmp_path / "out").glob("part-*"))
    assert parts == [f"part-{number:05}.parquet" for number in range(5)]
    sizes = [pq.read_metadata(tmp_path / "out" / name).num_rows for name in parts]
    assert sizes == [20, 20, 10, 20, 13]
    assert read(tmp_path / "out").equals(whole(source))
    assert (summary.rows, summary.before.parts) == (83, 0)
    assert (tmp_path / "out" / "_SUCCESS").exists()


def test_other_parquet_readers_read_only_the_parts(scorer, source, tmp_path):
    score_folder(scorer, source, tmp_path / "out", options=OPTIONS)
    assert pq.read_table(tmp_path / "out").num_rows == 83


def test_records_describe_the_rows_read_and_written(scorer, source, tmp_path):
    score_folder(scorer, source, tmp_path / "out", options=OPTIONS)
    record = json.loads((tmp_path / "out/_parts/00003.json").read_text())
    info = (source / "day=2/x.parquet").stat()
    assert record["fragment"] == {
        "file": {"name": "day=2/x.parquet", "size": info.st_size, "changed": info.st_mtime_ns},
        "start": 50,
        "rows": 20,
        "first": 0,
        "count": 2,
        "keys": {"day": 2},
    }
    assert (record["part"], record["rows"], record["quarantined"]) == ("part-00003.parquet", 20, 0)
    assert record["bytes"] == (tmp_path / "out/part-00003.parquet").stat().st_size
    run = json.loads((tmp_path / "out/_run.json").read_text())
    assert (run["model"], run["part_rows"]) == ("squares@1", 20)


def test_the_output_can_have_the_partitions_of_the_input(scorer, source, tmp_path):
    score_folder(scorer, source, tmp_path / "out", options=Options(part_rows=20, partitions=True))
    assert len([*(tmp_path / "out/day=1").glob("part-*.parquet")]) == 3
    assert "day" not in read(tmp_path / "out").column_names
    table = pq.read_table(tmp_path / "out")
    assert table["day"].to_pylist() == [1] * 50 + [2] * 33


@pytest.mark.parametrize("ending", ["csv", "npy"])
def test_an_array_is_split_into_parts_and_a_csv_is_one_part(scorer, tmp_path, ending):
    if ending == "npy":
        np.save(tmp_path / "x.npy", np.arange(150.0).reshape(50, 3) % 2)
    else:
        (tmp_path / "x.csv").write_text("a,b,c\n" + "1,2,0\n" * 50)
    score_folder(scorer, tmp_path / f"x.{ending}", tmp_path / "out", options=OPTIONS)
    parts = [pq.read_metadata(path).num_rows for path in sorted((tmp_path / "out").glob("part-*"))]
    assert parts == ([20, 20, 10] if ending == "npy" else [50])


def test_a_run_on_another_file_system_is_written_and_resumed(scorer, source, tmp_path):
    (tmp_path / "far").mkdir()
    far = StoragePath(fs.SubTreeFileSystem(str(tmp_path / "far"), fs.LocalFileSystem()), "out", "sub://out")
    score_folder(scorer, source, far, options=OPTIONS)
    (tmp_path / "far/out/_parts/00002.json").unlink()
    summary = score_folder(scorer, source, far, options=OPTIONS, resume=True)
    assert summary.before.parts == 4
    assert read(tmp_path / "far/out").equals(whole(source))


def test_an_input_without_rows_gives_parts_without_rows(scorer, tmp_path):
    pq.write_table(rows(0), tmp_path / "x.parquet")
    assert score_folder(scorer, tmp_path / "x.parquet", tmp_path / "out").rows == 0
    assert pq.read_table(tmp_path / "out").num_rows == 0


class Stops(Squares):
    """Raises KeyboardInterrupt once `after` rows are scored."""

    after: int = 35

    def score(self, x: Any) -> Any:
        if sum(len(seen) for seen in self.seen) >= self.after:
            raise KeyboardInterrupt
        return super().score(x)


def test_a_stopped_run_resumes_with_its_missing_parts(scorer, source, tmp_path):
    with pytest.raises(KeyboardInterrupt):
        score_folder(Stops(), source, tmp_path / "out", options=OPTIONS)
    assert len([*(tmp_path / "out").glob("part-*")]) == 1
    assert not (tmp_path / "out/_SUCCESS").exists()
    summary = score_folder(scorer, source, tmp_path / "out", options=OPTIONS, resume=True)
    assert (summary.before.parts, summary.rows, len(scorer.rows)) == (1, 83, 63)
    assert read(tmp_path / "out").equals(whole(source))
    uninterrupted = score_folder(Squares(), source, tmp_path / "other", options=OPTIONS)
    assert summary.rows_per_second == pytest.approx(63 / summary.seconds)
    assert summary.tally.to_json() == uninterrupted.tally.to_json()


def test_resuming_a_complete_run_scores_nothing(scorer, source, tmp_path):
    score_folder(Squares(), source, tmp_path / "out", options=OPTIONS, resume=True)
    assert score_folder(scorer, source, tmp_path / "out", options=OPTIONS, resume=True).before == (5, 83)
    assert scorer.seen == []


@pytest.mark.parametrize("harm", ["gone", "cut short", "of other rows"])
def test_a_part_that_differs_from_its_record_is_written_again(scorer, source, tmp_path, harm):
    score_folder(Squares(), source, tmp_path / "out", options=OPTIONS)
    part = tmp_path / "out/part-00001.parquet"
    if harm == "gone":
        part.unlink()
    elif harm == "cut short":
        part.write_bytes(part.read_bytes()[:-1])
    else:
        size = part.stat().st_size
        part.write_bytes((tmp_path / "out/part-00002.parquet").read_bytes().ljust(size, b"\0")[:size])
    score_folder(scorer, source, tmp_path / "out", options=OPTIONS, resume=True)
    assert len(scorer.rows) == 20
    assert read(tmp_path / "out").equals(whole(source))


def test_a_run_is_not_overwritten(scorer, source, tmp_path):
    score_folder(scorer, source, tmp_path / "out", options=OPTIONS)
    with pytest.raises(InputError, match="the folder has a run already; continue it with --resume"):
        score_folder(scorer, source, tmp_path / "out", options=OPTIONS)


def test_a_folder_with_other_files_and_a_file_are_refused_as_output(scorer, source, tmp_path):
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine.txt").touch()
    with pytest.raises(InputError, match="the folder is not empty and has no run"):
        score_folder(scorer, source, tmp_path / "full")
    with pytest.raises(InputError, match="an existing file, expected a folder"):
        score_folder(scorer, source, tmp_path / "full" / "mine.txt")
    with pytest.raises(InputError, match="lies in the input"):
        score_folder(scorer, source, source / "out")


def test_a_quarantine_file_in_the_output_folder_is_refused(scorer, source, tmp_path):
    (tmp_path / "out").mkdir()
    with pytest.raises(InputError, match="the quarantine file is the output or lies in it"):
        score_folder(
            scorer, source, tmp_path / "out", options=Options(quarantine=storage_path(tmp_path / "out/bad.parquet"))
        )


def test_the_limit_on_invalid_rows_covers_all_parts_and_can_be_raised_on_resume(scorer, source, tmp_path):
    table = rows(50)
    pq.write_table(table.set_column(1, "a", pa.array([np.inf, *range(49)], pa.float64())), source / "day=1/x.parquet")
    pq.write_table(table.set_column(1, "a", pa.array([np.inf, *range(49)], pa.float64())), source / "day=2/x.parquet")
    strict, lax = (
        Options(part_rows=20, quarantine=storage_path(tmp_path / "bad.parquet"), max_bad=InvalidRowLimit.of(text))
        for text in "12"
    )
    with pytest.raises(InputError, match=r"2 of \d+ rows are invalid, but max_bad allows 1"):
        score_folder(scorer, source, tmp_path / "out", options=strict)
    assert score_folder(scorer, source, tmp_path / "out", options=lax, resume=True).quarantined == 2


def test_a_run_does_not_resume_with_another_model_other_options_or_a_changed_input(scorer, source, tmp_path):
    score_folder(scorer, source, tmp_path / "out", options=OPTIONS)

    def resumed(by: Any = scorer, options: Options = OPTIONS) -> str:
        with pytest.raises(InputError, match="cannot be resumed") as caught:
            score_folder(by, source, tmp_path / "out", options=options, resume=True)
        return str(caught.value).split("resumed: ")[1]

    advice = "score into a new folder, or resume with the model, options and version of vaekit that began the run"
    assert resumed(Squares(facts={"model": "squares@2"})) == f"model was 'squares@1' and is now 'squares@2'; {advice}"
    assert resumed(options=Options(part_rows=21)) == f"part_rows was 20 and is now 21; {advice}"
    assert resumed(options=Options(part_rows=20, columns=["a"])) == f"columns was None and is now ['a']; {advice}"
    os.utime(source / "day=2/x.parquet")
    assert resumed() == "day=2/x.parquet has changed since the run began"
    pq.write_table(rows(5), source / "day=1/y.parquet")
    assert "day=1/y.parquet is new" in resumed() or "has changed" in resumed()
    (source / "day=2/x.parquet").unlink()
    assert "is gone" in resumed() or "is new" in resumed()


@pytest.mark.parametrize("limit", ["resumed", "whole"])
def test_invalid_rows_of_all_parts_are_joined_in_one_quarantine_file(scorer, source, tmp_path, limit):
    table = rows(30)
    pq.write_table(
        table.set_column(1, "a", pa.array([np.inf, *range(1, 30)], pa.float64())), source / "day=1/x.parquet"
    )
    options = Options(part_rows=20, quarantine=storage_path(tmp_path / "bad.parquet"))
    if limit == "resumed":
        with pytest.raises(KeyboardInterrupt):
            score_folder(Stops(), source, tmp_path / "out", options=options)
        assert not (tmp_path / "bad.parquet").exists()
    summary = score_folder(scorer, source, tmp_path / "out", options=options, resume=True)
    assert (summary.rows, summary.quarantined) == (62, 1)
    bad = pq.read_table(tmp_path / "bad.parquet")
    assert bad["bad_row"].to_pylist() == [0]
    assert bad["day"].to_pylist() == ["1"]
    assert read(tmp_path / "out")["id"].to_pylist() == [*range(1, 30), *range(33)]


KILLED = """
    import os, signal, sys
    from pathlib import Path
    from tests.scoring.conftest import Squares
    from vaekit.scoring import Options, score_folder
    from vaekit.scoring.batch import parts
    from vaekit.scoring.files import writer

    calls, at = [0], int(sys.argv[3])

    def counted(module, name):
        real = getattr(module, name)
        def call(*args, **kwargs):
            calls[0] += 1
            if calls[0] == at:
                os.kill(os.getpid(), signal.SIGKILL)
            return real(*args, **kwargs)
        setattr(module, name, call)

    counted(writer, "sync")  # called after every write to the disk
    options = Options(part_rows=20, fdr=0.4)
    score_folder(Squares(), Path(sys.argv[1]), Path(sys.argv[2]), options=options, resume=True)
"""


@pytest.mark.slow
def test_a_run_killed_at_any_disk_sync_resumes_without_lost_or_duplicate_rows(source, tmp_path):
    want = whole(source, fdr=0.4)
    command = [sys.executable, "-c", textwrap.dedent(KILLED), str(source), str(tmp_path / "out")]
    killed = 0
    for at in range(2, 40):
        done = subprocess.run([*command, str(at)], capture_output=True, text=True, check=False)
        assert done.returncode in (0, -signal.SIGKILL), done.stderr
        if done.returncode == 0:
            break
        killed += 1
    assert done.returncode == 0
    assert killed > 5
    assert read(tmp_path / "out").equals(want)
    assert not [*tmp_path.glob("**/.*.writing-*")]


def test_discoveries_are_selected_over_all_parts(scorer, source, tmp_path):
    summary = score_folder(scorer, source, tmp_path / "out", options=Options(part_rows=20, fdr=0.05))
    table = read(tmp_path / "out")
    p = table["p_value"].to_numpy()
    ordered = np.sort(p)
    cut = ordered[ordered <= 0.05 * np.arange(1, len(p) + 1) / len(p)].max(initial=0.0)
    assert table["is_discovery"].to_pylist() == (p <= cut).tolist()
    assert summary.discoveries is not None
    assert summary.discoveries.count == int((p <= cut).sum()) > 0
    assert table.equals(whole(source, fdr=0.05))
