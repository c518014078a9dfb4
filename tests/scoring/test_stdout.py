"""`vae score MODEL INPUT -`: the scored rows on standard output, everything else on stderr."""

from __future__ import annotations

import io
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow.csv
import pytest

from tests.conftest import ROOT
from vaekit.errors import InputError
from vaekit.scoring import score_file
from vaekit.scoring.batch.options import Options
from vaekit.storage.paths import names_a_folder, storage_path

ROWS = ROOT / "examples" / "rows.csv"


def score(*words: str | Path, stdout: int | io.BufferedWriter = subprocess.PIPE) -> subprocess.CompletedProcess[bytes]:
    command = [sys.executable, "-m", "vaekit", "score", "breast-cancer", str(ROWS), *map(str, words)]
    return subprocess.run(command, stdout=stdout, stderr=subprocess.PIPE, cwd=ROOT)


@pytest.mark.parametrize("more", [[], ["--fdr=0.1"], ["--columns=none"], ["--explain=2"]])
def test_standard_output_has_what_a_file_would_have(more: list[str], tmp_path: Path) -> None:
    to_file = score(tmp_path / "out.csv", *more)
    to_pipe = score("-", *more)
    assert to_pipe.returncode == to_file.returncode == 0, to_pipe.stderr
    assert to_pipe.stdout == (tmp_path / "out.csv").read_bytes()
    assert b"12 rows in" in to_pipe.stderr
    assert b"12 rows in" in to_file.stdout
    assert not (ROOT / "-").exists()


def test_it_may_be_appended_to_a_file(tmp_path: Path) -> None:
    with (tmp_path / "log.csv").open("wb") as log:
        log.write(b"before\n")
        log.flush()
        assert score("-", stdout=log).returncode == 0
    lines = (tmp_path / "log.csv").read_text().splitlines()
    assert (lines[0], len(lines)) == ("before", 14)


def test_a_summary_goes_into_its_file(tmp_path: Path) -> None:
    done = score("-", f"--summary={tmp_path / 's.json'}")
    assert pyarrow.csv.read_csv(io.BytesIO(done.stdout)).num_rows == 12
    assert (tmp_path / "s.json").is_file()
    assert b"summary: " in done.stderr


def test_a_reader_that_ends_early_is_no_traceback(tmp_path: Path) -> None:
    np.save(tmp_path / "big.npy", np.full((20_000, 30), 10.0))
    script = f"{sys.executable} -m vaekit score breast-cancer {tmp_path / 'big.npy'} - | head -1"
    done = subprocess.run(["sh", "-c", script], capture_output=True, cwd=ROOT)
    assert done.stdout.startswith(b'"mean radius"')
    assert done.stderr == b""


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_disk_behind_standard_output_is_one_sentence() -> None:
    with Path("/dev/full").open("wb") as full:
        done = score("-", stdout=full)
    assert (done.returncode, done.stderr) == (
        1,
        b"error: standard output: cannot be written: No space left on device\n",
    )


@pytest.mark.parametrize("more", [["--resume"], ["--part-rows=3"], ["--engine=ray"], ["--quarantine=-"]])
def test_options_that_need_files_are_refused(more: list[str]) -> None:
    done = score("-", *more)
    assert (done.returncode, done.stdout) == (1, b"")
    assert b"expected a" in done.stderr or b"needs a folder" in done.stderr


def test_from_python_too(scorer, tmp_path: Path, capsysbinary) -> None:
    (tmp_path / "x.csv").write_text("a,b,c\n1,2,0\n3,4,1\n")
    done = score_file(scorer, tmp_path / "x.csv", "-", options=Options(columns=["c"]))
    assert capsysbinary.readouterr().out.startswith(b'"c","elbo"')
    assert (done.rows, str(done.output)) == (2, "-")


def test_a_notebook_has_no_bytes_on_standard_output(scorer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "x.csv").write_text("a,b,c\n1,2,0\n")
    monkeypatch.setattr(sys, "stdout", io.StringIO())
    with pytest.raises(
        InputError, match=r"^-: standard output takes no bytes here, expected a \.parquet or \.csv file$"
    ):
        score_file(scorer, tmp_path / "x.csv", "-")


def test_a_file_or_folder_of_that_name_can_still_be_written() -> None:
    assert not names_a_folder("-")
    assert names_a_folder("./-")
    assert not storage_path("./-").is_stdout
