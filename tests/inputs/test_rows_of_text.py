"""Rows of CSV and NDJSON mean the same in a body, on a pipe and in a file."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from tests.inputs import table as inputs
from tests.inputs.test_every_entry_point import NEW, Served, served  # noqa: F401 - served is a fixture
from vaekit.client.wire import CSV_TYPE, NDJSON_TYPE
from vaekit.scoring import LocalScorer
from vaekit.scoring.pipe.run import Format, PipeOptions, score_pipe
from vaekit.tabular.csv_text import PLAIN, CsvDialect

OBJECTS = [
    {**row, "took": None if row["took"] is None else row["took"].total_seconds(), "when": None, "day": str(row["day"])}
    for row in inputs.as_records(NEW)
]
NDJSON = "".join(json.dumps(row) + "\n" for row in OBJECTS).encode()


def scores(text: bytes, form: str, delimiter: str = ",") -> list[float]:
    """The ELBOs of a reply or of what a pipe writes."""
    if form == "ndjson":
        return [json.loads(line)["elbo"] for line in text.splitlines()]
    return [float(row["elbo"]) for row in csv.DictReader(io.StringIO(text.decode()), delimiter=delimiter)]


@pytest.mark.parametrize("form", ["csv", "ndjson"])
@pytest.mark.parametrize("accept", ["csv", "ndjson"])
def test_bodies_of_text_have_the_scores_of_every_other_form(
    served: Served,  # noqa: F811
    tmp_path: Path,
    form: str,
    accept: str,
) -> None:
    body = NDJSON if form == "ndjson" else inputs.csv_file(NEW, tmp_path / "new.csv").read_bytes()
    kinds = {"csv": CSV_TYPE, "ndjson": NDJSON_TYPE}
    headers = {"content-type": kinds[form], "accept": kinds[accept]}
    reply = httpx.post(f"{served.url}/elbo", content=body, headers=headers)
    np.testing.assert_allclose(scores(reply.content, accept), served.elbo, rtol=1e-5)
    assert json.loads(reply.headers["vae-ignored-columns"]) == ["when", "day"]
    refused = httpx.post(f"{served.url}/elbo?strict=true", content=body, headers=headers)
    assert (refused.status_code, "unknown feature 'when'" in refused.text) == (422, True)


@pytest.mark.parametrize(
    ("form", "write", "dialect"),
    [
        ("csv", inputs.csv_file, PLAIN),
        ("csv", inputs.semicolon_file, CsvDialect(";", ",")),
        ("ndjson", lambda _, path: path.write_bytes(NDJSON) and path, PLAIN),
    ],
)
@pytest.mark.parametrize("size", [100, 10**6])
def test_a_pipe_has_the_scores_of_every_other_form(
    served: Served,  # noqa: F811
    tmp_path: Path,
    form: Format,
    write: Any,
    dialect: CsvDialect,
    size: int,
) -> None:
    text = write(NEW, tmp_path / "new").read_bytes()
    pieces: Sequence[bytes] = [text[at : at + size] for at in range(0, len(text), size)]
    written: list[bytes] = []
    arriving = iter(pieces)
    scorer, options = LocalScorer(served.model), PipeOptions(form, csv=dialect)
    counts = score_pipe(scorer, lambda: next(arriving, b""), written.append, options=options)
    np.testing.assert_allclose(scores(b"".join(written), form, dialect.delimiter), served.elbo, rtol=1e-5)
    assert (counts.rows, counts.ignored.columns) == (24, ("when", "day"))
