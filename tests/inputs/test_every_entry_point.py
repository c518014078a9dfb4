"""Every input means the same at every entry point: vae train, Detector, Model, Client, the service and vae score."""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from unittest.mock import patch

import httpx
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.inputs import table as inputs
from tests.live import serving
from vaekit import Client, Detector, Model
from vaekit.bundle import VectorSpec
from vaekit.client import RequestRefused
from vaekit.client.wire import ARROW_TYPE
from vaekit.detector_training import prepare
from vaekit.errors import InputError
from vaekit.scoring import LocalScorer, Options, RemoteScorer, score_file
from vaekit.storage.paths import storage_path
from vaekit.tabular.csv_text import CsvDialect
from vaekit.tabular.frames import table
from vaekit_training.config import make_config, parse_overrides
from vaekit_training.data.rows import Rows
from vaekit_training.infer import infer, overrides_beside
from vaekit_training.run import train

CELLS = inputs.columns()
NEW = {name: cells for name, cells in inputs.columns(24, seed=1).items() if name != "serial"}
EXTRA = {**NEW, "note": [["x"]] * 24, "Loads": [1.0] * 24}


def fitted_to(frame: Any, settings: Sequence[str] = inputs.SETTINGS) -> tuple[Rows, list[str]]:
    """The rows that Detector.fit trains on, and what it says."""
    prepared = prepare(table(frame), None, settings=settings)
    return prepared.rows(None), prepared.warnings


@dataclass(frozen=True)
class Served:
    """A model trained from the Parquet file, a service of it, and the scores of NEW."""

    models: Path
    model: Model
    url: str
    elbo: Any


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("inputs")
    path = inputs.parquet_file(CELLS, folder / "stock.parquet")
    asked = parse_overrides(inputs.SETTINGS)
    tree, _ = infer(str(path), asked)
    with patch("vaekit_training.publish.report.render", lambda *_: lambda _: {}):
        train(make_config(tree, overrides_beside(asked, inputs.SETTINGS)), folder / "models", device="cpu")
    with Model.load(folder / "models" / "stock", device="cpu") as model, serving(folder / "models") as url:
        rows = [list(row) for row in zip(*(NEW[name] for name in inputs.MODELLED), strict=True)]
        yield Served(folder / "models", model, url, model.elbo(rows).elbo)


@pytest.mark.parametrize("form", inputs.FRAMES.values(), ids=inputs.FRAMES)
def test_every_frame_has_the_same_scores_in_process_and_over_http(served: Served, form: Any) -> None:
    frame = form(NEW)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the dates are ignored
        found = served.model.elbo(frame)
        np.testing.assert_allclose(found.elbo, served.elbo, rtol=1e-5)
        detector = Detector.of(served.model, alpha=0.1)
        np.testing.assert_allclose(detector.score_samples(frame), served.elbo, rtol=1e-5)
        np.testing.assert_array_equal(detector.p_value(frame), found.p_value)
    with Client(served.url) as client:
        answer = client.elbo(frame)
    np.testing.assert_allclose(answer.elbo, served.elbo, rtol=1e-5)
    np.testing.assert_array_equal(answer.p_value, found.p_value)
    assert answer.ignored_columns == ("when", "day")


@pytest.mark.parametrize("through", ["model", "service"])
@pytest.mark.parametrize(("ending", "write"), inputs.FILES.values(), ids=inputs.FILES)
def test_vae_score_has_the_same_scores_for_files(
    served: Served, tmp_path: Path, ending: str, write: Any, through: str
) -> None:
    path, out = write(NEW, tmp_path / f"new{ending}"), tmp_path / "out.parquet"
    options = Options(csv=CsvDialect(";", ",") if write is inputs.semicolon_file else CsvDialect())
    with Client(served.url) as client:
        by_service = RemoteScorer(client, "stock", alpha=0.1)
        scorer = by_service if through == "service" else LocalScorer(served.model, alpha=0.1)
        done = score_file(scorer, path, out, options=options)
        np.testing.assert_allclose(pq.read_table(out)["elbo"].to_numpy(), served.elbo, rtol=1e-5)
        assert done.to_json()["ignored_columns"] == ["when", "day"]
        with pytest.raises(InputError, match="unknown feature 'when'"):
            score_file(scorer, path, out, options=replace(options, strict=True))


def test_series_have_their_cells_by_name_if_they_have_names(served: Served) -> None:
    rows = inputs.as_series({name: NEW[name] for name in inputs.MODELLED})
    with Client(served.url) as client:
        for given in ([row[::-1] for row in rows], [row.reset_index(drop=True) for row in rows]):
            for ask in (served.model.elbo, client.elbo):
                np.testing.assert_allclose(ask(given).elbo, served.elbo, rtol=1e-5)
            scores = Detector.of(served.model, alpha=0.1).score_samples(given)
            np.testing.assert_allclose(scores, served.elbo, rtol=1e-5)


def test_json_rows_have_the_same_scores(served: Served) -> None:
    rows = inputs.as_records({name: NEW[name] for name in inputs.MODELLED})
    for row in rows:
        row["took"] = None if row["took"] is None else row["took"].total_seconds()
    for body in (rows, [list(row.values()) for row in rows]):
        reply = httpx.post(f"{served.url}/elbo", json={"inputs": body}).json()
        np.testing.assert_allclose(reply["elbo"], served.elbo, rtol=1e-5)
        assert "ignored_columns" not in reply


def test_a_level_beyond_float64_is_not_its_neighbour(served: Served) -> None:
    spec = served.model.spec
    assert isinstance(spec, VectorSpec)
    assert spec.columns[2].levels == tuple(str(inputs.FIRST + k) for k in range(4))
    cells = {name: NEW[name][:1] for name in inputs.MODELLED}
    scores = [served.model.elbo(inputs.as_records({**cells, "shop": [inputs.FIRST + k]})).elbo[0] for k in range(4)]
    assert len(set(scores)) == 4
    for form in (inputs.in_pandas, inputs.in_polars, inputs.in_arrow, inputs.as_records):
        unseen = form({**cells, "shop": [inputs.FIRST + 5]})
        with pytest.raises(InputError, match="row 0, feature 'shop': not one of its 4 levels"):
            served.model.elbo(unseen, strict=True)
        with Client(served.url) as client:
            assert client.elbo(unseen).novel == [["shop"]]
            with pytest.raises(RequestRefused, match="not one of its 4 levels"):
                client.elbo(unseen, strict=True)


STRICT = "unknown feature '(when|note|Loads)'; strict allows only the model's columns"


def test_extra_columns_are_ignored_and_named_and_strict_refuses_them(served: Served) -> None:
    records = inputs.as_records(EXTRA)
    for row in records:
        del row["load"]  # it may be missing, so its misspelt twin is only warned of
    with pytest.warns(UserWarning, match=r"are ignored: .*'note', 'Loads'; column 'Loads' is ignored; did you mean 'l"):
        lacking = served.model.elbo(records).elbo
    with Client(served.url) as client:
        answer = client.elbo(records)
        np.testing.assert_allclose(answer.elbo, lacking, rtol=1e-5)
        assert answer.ignored_columns == ("when", "day", "note", "Loads")
        assert answer.warnings == ("column 'Loads' is ignored; did you mean 'load'?",)
        assert client.encode(records).ignored_columns == answer.ignored_columns
        for ask in (client.elbo, client.encode):
            with pytest.raises(RequestRefused, match=STRICT):
                ask(records, strict=True)
            with pytest.raises(RequestRefused, match=STRICT):
                ask(inputs.in_polars(NEW), strict=True)
    for ask in (served.model.elbo, served.model.bound, served.model.encode, served.model.explain):
        with pytest.raises(InputError, match=STRICT):
            ask(records, strict=True)
    with pytest.raises(InputError, match=STRICT):
        Detector.of(served.model, alpha=0.1).set_params(strict=True).predict(inputs.in_pandas(NEW))


@pytest.mark.parametrize("form", inputs.FRAMES.values(), ids=inputs.FRAMES)
def test_a_column_that_may_be_missing_may_be_absent_in_every_form(served: Served, form: Any) -> None:
    lacking = {name: NEW[name] for name in inputs.MODELLED if name != "took"}
    want = served.model.elbo(inputs.as_records({**lacking, "took": [None] * 24})).elbo
    assert np.abs(want - served.elbo).max() > 0.01
    said = "column 'took' is absent: its cells are missing"
    rows, detector = form(lacking | {"Tooks": [1] * 24}), Detector.of(served.model, alpha=0.1)
    with Client(served.url) as client, warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        for ask in (served.model.elbo, served.model.bound, client.elbo):
            np.testing.assert_allclose(ask(rows).elbo, want, rtol=1e-5)
        np.testing.assert_allclose(detector.score_samples(rows), want, rtol=1e-5)
        told = [*[str(one.message) for one in warned], "; ".join(client.elbo(rows).warnings)]
    assert [text.count("column 'Tooks' is ignored; did you mean 'took'?") for text in told] == [1] * 4
    in_process = form not in (inputs.as_records, inputs.as_series)  # a row by name may leave out its missing cells
    over_http = in_process and form is not inputs.with_intervals  # which are sent as rows by name
    assert [text.count(said) for text in told] == [in_process, in_process, in_process, over_http]


@pytest.mark.parametrize("form", inputs.FRAMES.values(), ids=inputs.FRAMES)
def test_a_column_in_another_spelling_is_refused_in_every_form(served: Served, form: Any) -> None:
    rows = form({(" TOOK" if name == "took" else name): NEW[name] for name in inputs.MODELLED})
    said = "column ' TOOK' is 'took' in the model: rename it"
    for ask in (served.model.elbo, served.model.bound, served.model.encode, Detector.of(served.model).score_samples):
        with pytest.raises(InputError, match=said):
            ask(rows)
    with Client(served.url) as client, pytest.raises(RequestRefused, match=said):
        client.elbo(rows)


def test_a_column_in_another_spelling_is_refused_in_files_and_lines(served: Served, tmp_path: Path) -> None:
    said = "column 'Took' is 'took' in the model: rename it"
    cells = {("Took" if name == "took" else name): NEW[name] for name in inputs.MODELLED}
    pq.write_table(pa.table(cells), tmp_path / "new.parquet")
    with pytest.raises(InputError, match=said):
        score_file(LocalScorer(served.model, alpha=0.1), tmp_path / "new.parquet", tmp_path / "out.parquet")
    rows = [{name: str(cells[name][0]) for name in cells}]
    for form, body in (
        ("text/csv", ",".join(cells) + "\n" + ",".join(rows[0].values()) + "\n"),
        ("application/x-ndjson", json.dumps(rows[0]) + "\n"),
    ):
        reply = httpx.post(f"{served.url}/elbo", content=body, headers={"content-type": form})
        assert (reply.status_code, said in reply.text) == (422, True)


@pytest.mark.parametrize("through", ["model", "service"])
def test_a_column_that_may_be_missing_may_be_absent_in_files(served: Served, tmp_path: Path, through: str) -> None:
    lacking = {name: NEW[name] for name in inputs.MODELLED if name != "load"}
    want = served.model.elbo(inputs.as_records({**lacking, "load": [None] * 24})).elbo
    frame, out = pa.table(lacking), tmp_path / "out.parquet"
    pq.write_table(frame, tmp_path / "new.parquet")
    with Client(served.url) as client:
        by_service = RemoteScorer(client, "stock", alpha=0.1)
        scorer = by_service if through == "service" else LocalScorer(served.model, alpha=0.1)
        done = score_file(scorer, tmp_path / "new.parquet", out)
        np.testing.assert_allclose(pq.read_table(out)["elbo"].to_numpy(), want, rtol=1e-5)
        assert done.remarks == ("column 'load' is absent: its cells are missing",)
        assert done.absent == ("load",) == tuple(done.to_json()["absent_columns"])
        for lost in ("band", "door_open"):  # no training row lacks them
            pq.write_table(frame.drop([lost]), tmp_path / "new.parquet")
            with pytest.raises(InputError, match=f"the input lacks 1 of the model's columns: '{lost}'$"):
                score_file(scorer, tmp_path / "new.parquet", out)


def test_a_row_by_name_that_lacks_a_cell_that_no_training_row_lacks_is_refused_everywhere(served: Served) -> None:
    rows = inputs.as_records({name: NEW[name] for name in inputs.MODELLED})
    del rows[3]["band"]
    said = "row 3, feature 'band': missing"
    for ask in (served.model.elbo, Detector.of(served.model, alpha=0.1).predict):
        with pytest.raises(InputError, match=said):
            ask(rows)
    with Client(served.url) as client, pytest.raises(RequestRefused, match=said):
        client.elbo(rows)


@pytest.mark.parametrize("through", ["model", "service"])
def test_strict_refuses_a_row_with_more_missing_cells_than_any_training_row(
    served: Served, tmp_path: Path, through: str
) -> None:
    cells = {name: list(NEW[name][:6]) for name in inputs.MODELLED}
    for name, column in cells.items():
        if served.model.spec.columns[served.model.spec.names.index(name)].may_be_missing:
            column[3] = None
    assert sum(column[3] is None for column in cells.values()) > served.model.manifest.most_missing
    frame, said = inputs.in_pandas(cells), r"row 3: more missing cells than any training row, which had at most \d"
    path, out = inputs.parquet_file(cells, tmp_path / "new.parquet"), tmp_path / "out.parquet"
    with Client(served.url) as client:
        if through == "service":
            for rows in (frame, inputs.in_polars(cells)):
                with pytest.raises(RequestRefused, match=said):
                    client.elbo(rows, strict=True)
        else:
            with pytest.raises(InputError, match=said):
                Detector.of(served.model, alpha=0.1).set_params(strict=True).predict(frame)
        by_service = RemoteScorer(client, "stock", alpha=0.1)
        scorer = by_service if through == "service" else LocalScorer(served.model, alpha=0.1)
        with pytest.raises(InputError, match=said):
            score_file(scorer, path, out, options=Options(strict=True))
        done = score_file(
            scorer, path, out, options=Options(strict=True, quarantine=storage_path(tmp_path / "bad.parquet"))
        )
        assert (done.rows, done.quarantined) == (5, 1)
        assert score_file(scorer, path, out).novel == 1


def test_ignored_columns_of_an_arrow_body_stand_in_a_header_of_bounded_length(served: Served) -> None:
    many = {f"größe {i} {'x' * 60}": [1.0] for i in range(900)}
    body = inputs.in_arrow({**{name: NEW[name][:1] for name in inputs.MODELLED}, **many})
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, body.schema) as writer:
        writer.write_table(body)
    headers = {"content-type": ARROW_TYPE, "accept": "application/x-npy"}
    reply = httpx.post(f"{served.url}/elbo", content=sink.getvalue().to_pybytes(), headers=headers)
    assert reply.status_code == 200
    said = reply.headers["vae-ignored-columns"]
    assert len(said) <= 4096
    assert json.loads(said) == list(many)[: len(json.loads(said))]
    as_json = httpx.post(
        f"{served.url}/elbo", content=sink.getvalue().to_pybytes(), headers={"content-type": ARROW_TYPE}
    )
    assert as_json.json()["ignored_columns"] == list(many)


def test_more_than_1000_extra_columns_are_refused(served: Served) -> None:
    row = inputs.as_records({name: NEW[name][:1] for name in inputs.MODELLED})[0]
    said = "1001 columns that the model does not have, at most 1,000 are ignored"
    many = [{**row, **{f"c{i}": 1 for i in range(1001)}}]
    with pytest.raises(InputError, match=said):
        served.model.elbo(many)
    with Client(served.url) as client, pytest.raises(RequestRefused, match=said):
        client.elbo(many)


def test_intervals_of_pandas_mean_the_same_in_an_arrow_table_and_an_arrow_body(served: Served, tmp_path: Path) -> None:
    read = pq.read_table(inputs.interval_file(NEW, tmp_path / "new.parquet")).drop(["when", "day"])
    np.testing.assert_allclose(served.model.elbo(read).elbo, served.elbo, rtol=1e-5)
    with Client(served.url) as client:
        np.testing.assert_allclose(client.elbo(read).elbo, served.elbo, rtol=1e-5)


@pytest.mark.parametrize("form", [inputs.in_polars, inputs.in_arrow])
def test_a_column_of_lists_is_ignored_like_any_other(served: Served, form: Any) -> None:
    rows = form({**{name: NEW[name] for name in inputs.MODELLED}, "readings": [[1.0, 2.0]] * 24})
    with Client(served.url) as client:
        answer = client.elbo(rows)
    np.testing.assert_allclose(answer.elbo, served.elbo, rtol=1e-5)
    assert answer.ignored_columns == ("readings",)


def test_a_masked_cell_is_a_missing_cell(served: Served) -> None:
    x = np.tile([0.5, 1.0, 2.0, 3.0, 1.0, 2.0], (2, 1))
    masked = np.ma.array(x, mask=[[False] * 6, [True, *[False] * 5]])
    want = served.model.elbo(masked.filled(np.nan)).elbo
    assert want[0] != want[1]
    np.testing.assert_array_equal(served.model.elbo(masked).elbo, want)
    with Client(served.url) as client:
        np.testing.assert_allclose(client.elbo(masked).elbo, want, rtol=1e-5)
    far = np.ma.masked_greater(np.r_[np.random.default_rng(0).standard_normal((60, 2)), [[1e9, 0.0]]], 1e5)
    rows, _ = fitted_to(far, ())
    assert np.isnan(rows.x[60, 0])
    assert rows.may_be_missing == (True, False)


def test_an_explanation_in_python_has_names(served: Served) -> None:
    frame = inputs.in_pandas({name: NEW[name] for name in inputs.MODELLED})
    with Client(served.url) as client:
        for found in (served.model.explain(frame, top=6), client.elbo(frame, explain=6)):
            assert found.cells is not None
            (shop,) = [cell for cell in found.cells[0] if cell["feature"] == "shop"]
            assert shop["value"] == str(NEW["shop"][0])
            assert shop["expected"] in {str(inputs.FIRST + k) for k in range(4)}
            assert found.p_value is not None
