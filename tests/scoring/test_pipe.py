"""Rows on a pipe are scored as they come, by the rule of files, and an invalid one takes no other with it."""

from __future__ import annotations

import csv
import io
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, Any

import pytest

from tests.conftest import ROOT
from vaekit.bundle import ImageSpec
from vaekit.errors import InputError
from vaekit.scoring.batch.invalid_rows import InvalidRowLimit
from vaekit.scoring.pipe.run import PipeCounts, PipeOptions, score_pipe
from vaekit.tabular.csv_text import CsvDialect

COMMAND = [sys.executable, "-c", "from vaekit.cli import main; main()", "score", "breast-cancer"]


def piped(scorer: Any, *pieces: str | bytes, quarantine: Any = None, **options: Any) -> tuple[str, PipeCounts]:
    """What is written of pieces that arrive one by one, and the counts."""
    arriving = iter([piece.encode() if isinstance(piece, str) else piece for piece in pieces])
    written: list[bytes] = []
    counts = score_pipe(
        scorer, lambda: next(arriving, b""), written.append, options=PipeOptions(**options), quarantine=quarantine
    )
    return b"".join(written).decode(), counts


def rows_of(text: str, **dialect: Any) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text), **dialect))


def test_csv_passes_through_with_the_scores(scorer: Any) -> None:
    text, counts = piped(scorer, "id,c,a,b\nx,0,1,2\r\ny,1,30,4")
    assert text.splitlines()[0] == "id,c,a,b,elbo,log_likelihood,kl,score,p_value,p_value_tail,is_anomaly,error"
    rows = rows_of(text)
    assert [(row["id"], row["a"], row["elbo"], row["is_anomaly"]) for row in rows] == [
        ("x", "1", "-6.0", "false"),
        ("y", "30", "-918.0", "true"),
    ]
    assert (counts.rows, counts.anomalies, counts.invalid.total()) == (2, 1, 0)
    assert counts.ignored.columns == ("id",)


def test_ndjson_is_the_line_as_it_came_with_the_scores(scorer: Any) -> None:
    whole = '{"a": 1, "b": 2.50, "c": 0, "big": 12345678901234567890123}'
    lines = [
        whole,
        '{"b":1,"a":1,"c":1,"score":"mine"}  ',
        "[1,2,0]",
    ]
    text, _ = piped(scorer, "\n".join(lines), format="ndjson")
    first, second, third = text.splitlines()
    assert first.startswith(whole[:-1] + ',"elbo":-8.25,')
    assert json.loads(second)["score"] == "mine"
    assert json.loads(second)["vae_score"] == 4.0
    assert json.loads(third)["row"] == 2
    assert json.loads(third)["elbo"] == -6.0


def test_each_piece_is_answered_before_the_next_is_read(scorer: Any) -> None:
    written: list[bytes] = []

    def arriving() -> Iterator[bytes]:
        yield b'\xef\xbb\xbf{"a":1,"b":1,"c":'
        assert not written
        yield b'0}\n{"a":'
        assert b"".join(written).count(b"\n") == 1
        yield b'2,"b":1,"c":0}'
        assert b"".join(written).count(b"\n") == 1

    pieces = arriving()
    score_pipe(scorer, lambda: next(pieces, b""), written.append, options=PipeOptions("ndjson"))
    assert b"".join(written).count(b"\n") == 2


def test_invalid_rows_are_answered_with_the_reason(scorer: Any) -> None:
    text, counts = piped(scorer, "a,b,c\n1,2,0\nx,2,0\n1\n", '1,"2,0\n3,4,1\n')
    rows = rows_of(text)
    assert [row["error"] for row in rows] == [
        "",
        "row 1, feature 'a': not a number: 'x'",
        "row 2: 1 values, expected 3: '1'",
        "row 3: a quote is not closed: '1,\"2,0'",
        "",
    ]
    assert (rows[1]["a"], rows[1]["elbo"], rows[4]["elbo"]) == ("x", "", "-27.0")
    assert (counts.rows, counts.invalid["not a number"]) == (5, 1)
    text, _ = piped(scorer, '{"a":"x","b":1,"c":0}\nnonsense\n{"id":3}\n', format="ndjson")
    found = [json.loads(line) for line in text.splitlines()]
    assert found[0] == {
        "a": "x", "b": 1, "c": 0, "error": {"row": 0, "column": "a", "reason": "not a number", "value": "x"}
    }  # fmt: skip
    assert found[1]["error"]["reason"].startswith("not JSON: ")
    assert (found[2]["id"], found[2]["error"]["reason"]) == (3, "missing")


def test_a_quarantine_gets_invalid_rows_as_they_came(scorer: Any) -> None:
    kept: list[bytes] = []
    text, _ = piped(scorer, "a,b,c\n1,2,0\nx,2,0\n1\n", quarantine=kept.append)
    assert "error" not in text
    assert len(rows_of(text)) == 1
    assert b"".join(kept) == b'1,a,not a number,x,2,0\n2,,"1 values, expected 3",1\n'
    kept.clear()
    text, _ = piped(scorer, '{"a":1}\n{"a":1,"b":1,"c":0}\n', format="ndjson", quarantine=kept.append)
    assert text.count("\n") == 1
    assert json.loads(kept[0]) == {"row": 0, "column": "b", "reason": "missing", "value": None, "line": '{"a":1}'}


def test_too_many_invalid_rows_end_the_run(scorer: Any) -> None:
    with pytest.raises(InputError, match=r"^2 of 2 rows are invalid, but max_bad allows 1"):
        piped(scorer, "[1]\n", "[2]\n", "[1,2,0]\n", format="ndjson", max_bad=InvalidRowLimit(rows=1))


def test_columns_are_chosen_as_in_files(scorer: Any) -> None:
    text, _ = piped(scorer, "id,a,b,c\nx,1,2,0\nx,1,2,0\n", columns=["id"])
    assert text.startswith("id,elbo")
    text, _ = piped(scorer, "id,a,b,c\nx,1,2,0\n", "x,1,2,0\n", columns=[])
    assert [row["row"] for row in rows_of(text)] == ["0", "1"]
    text, _ = piped(scorer, '{"id":5,"a":1,"b":2,"c":0}\n', format="ndjson", columns=["id"])
    assert list(json.loads(text))[:2] == ["id", "elbo"]
    with pytest.raises(InputError, match=r"^columns: the input has no column 'no'$"):
        piped(scorer, "a,b,c\n1,2,0\n", columns=["no"])
    with pytest.raises(InputError, match=r"^the input lacks 2 of the model's columns: 'b', 'c'$"):
        piped(scorer, "a\n1\n")


def test_csv_without_a_header_is_in_the_models_order(scorer: Any) -> None:
    text, _ = piped(scorer, "2,1,0\n", "x,1,0\n", header=False)
    first, second = text.splitlines()
    assert first.startswith("2,1,0,-6.0,")
    assert second.endswith("row 1, feature 'b': not a number: 'x'\"")


def test_other_dialects_are_read_as_in_files(scorer: Any) -> None:
    text, _ = piped(scorer, "a;b;c\n1,5;1.000;0\n", csv=CsvDialect(";", ",", "."))
    [row] = rows_of(text, delimiter=";")
    assert (row["a"], float(row["elbo"])) == ("1,5", -(1.5**2) - 1000.0**2 - 1)
    with pytest.raises(InputError, match=r"cells seem to be separated by ';': use --delimiter ';'$"):
        piped(scorer, "a;b;c\n1;1;0\n")


def test_a_pipe_of_images_is_refused(image_scorer: Any) -> None:
    assert isinstance(image_scorer.spec, ImageSpec)
    with pytest.raises(InputError, match=r"^-: a model of images reads files"):
        piped(image_scorer, "1\n")


def test_an_empty_pipe_has_no_rows(scorer: Any) -> None:
    text, counts = piped(scorer)
    assert (text, counts.rows) == ("", 0)
    text, _ = piped(scorer, "a,b,c\n")
    assert text.startswith("a,b,c,elbo,")


def score(*words: str, given: bytes, cwd: Path = ROOT) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run([*COMMAND, *words], input=given, capture_output=True, cwd=cwd, check=False)


def test_a_pipe_has_the_scores_of_the_file(tmp_path: Path) -> None:
    given = (ROOT / "examples" / "rows.csv").read_bytes()
    to_file = score("examples/rows.csv", str(tmp_path / "out.csv"), given=b"")
    to_pipe = score("-", "-", given=given)
    assert (to_file.returncode, to_pipe.returncode) == (0, 0), to_pipe.stderr
    want, got = rows_of((tmp_path / "out.csv").read_text()), rows_of(to_pipe.stdout.decode())
    assert [row.pop("error") for row in got] == [""] * len(want)
    names = ("sample", "elbo", "p_value", "is_anomaly", "novel")
    assert [[row[name] for name in names] for row in got] == [[row[name] for name in names] for row in want]
    assert to_pipe.stderr.startswith(b"12 rows, ")
    objects = "".join(json.dumps({**row, **numbers(row)}) + "\n" for row in rows_of(given.decode()))
    lines = score("-", "-", "--format=ndjson", "--columns=sample", given=objects.encode()).stdout.splitlines()
    assert [json.loads(line)["elbo"] for line in lines] == [float(row["elbo"]) for row in want]


def numbers(row: dict[str, str]) -> dict[str, float]:
    return {name: float(cell) for name, cell in row.items() if name != "sample"}


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["-", "out.csv"], b"vae score MODEL - - > out.csv"),
        (["-", "-", "--fdr=0.1"], b"--fdr: needs a file as input"),
        (["-", "-", "--summary=s.json"], b"--summary: needs a file as input"),
        (["-", "-", "--format=ndjson", "--no-header"], b"--no-header: is for CSV"),
        (["examples/rows.csv", "-", "--format=ndjson"], b"--format: is for rows on standard input"),
    ],
)
def test_options_that_do_not_fit_the_input_are_refused(words: Sequence[str], said: bytes) -> None:
    done = score(*words, given=b"")
    assert done.returncode == 1
    assert said in done.stderr.replace(b"\n", b" ")
    assert done.stdout == b""


class Pipe:
    """`vae score - -` with both ends open."""

    def __init__(self, *words: str) -> None:
        self.popen = subprocess.Popen(
            [*COMMAND, "-", "-", "--format=ndjson", *words],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=ROOT,
        )  # fmt: skip
        assert self.popen.stdin is not None
        assert self.popen.stdout is not None
        self.into: IO[bytes] = self.popen.stdin
        self.out: IO[bytes] = self.popen.stdout

    def say(self, row: Any) -> None:
        self.into.write(json.dumps(row).encode() + b"\n")
        self.into.flush()


@pytest.fixture
def pipe() -> Iterator[Pipe]:
    one = Pipe()
    yield one
    if one.popen.poll() is None:
        one.popen.kill()
    one.popen.communicate()


ROW = [1.0] * 30


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_event_is_answered_while_the_pipe_stays_open(pipe: Pipe, number: int) -> None:
    for row in range(3):
        pipe.say(ROW)
        assert json.loads(pipe.out.readline())["row"] == row
    pipe.popen.send_signal(number)
    _, said = pipe.popen.communicate(timeout=30)
    assert pipe.popen.returncode == 128 + number
    assert said.startswith(b"3 rows, ")
    assert b"Traceback" not in said


def test_a_reader_that_ends_early_ends_the_pipe(pipe: Pipe) -> None:
    pipe.say(ROW)
    pipe.out.readline()
    pipe.out.close()
    pipe.say(ROW)
    assert pipe.popen.wait(30) == 1
    assert pipe.popen.stderr is not None
    assert pipe.popen.stderr.read() == b""


def test_a_quarantine_file_grows_row_by_row(tmp_path: Path) -> None:
    bad = tmp_path / "bad.ndjson"
    for _ in range(2):
        done = score("-", "-", "--format=ndjson", f"--quarantine={bad}", given=b"[1]\n" + json.dumps(ROW).encode())
        assert done.returncode == 0, done.stderr
        assert done.stdout.count(b"\n") == 1
    assert [json.loads(line)["line"] for line in bad.read_text().splitlines()] == ["[1]", "[1]"]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_disk_behind_the_pipe_is_one_sentence() -> None:
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run(
            [*COMMAND, "-", "-", "--format=ndjson"],
            input=json.dumps(ROW).encode(), stdout=full, stderr=subprocess.PIPE, cwd=ROOT, check=False, env=os.environ,
        )  # fmt: skip
    assert (done.returncode, done.stderr) == (
        1,
        b"error: standard output: cannot be written: No space left on device\n",
    )
