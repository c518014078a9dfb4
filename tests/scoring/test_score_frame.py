"""score_frame appends scores to frames and tables in memory, as vae score does to files."""

from __future__ import annotations

import duckdb
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from vaekit import Client
from vaekit.errors import InputError
from vaekit.scoring import LocalScorer, RemoteScorer, score_frame


@pytest.fixture
def frame(breast_cancer, benign_rows) -> pd.DataFrame:
    return pd.DataFrame(benign_rows[:20], columns=breast_cancer.spec.names, index=range(100, 120))


@pytest.mark.parametrize("make", [lambda f: f, pl.from_pandas, pa.Table.from_pandas, lambda f: f.to_dict("records")])
def test_a_table_comes_back_with_the_scores_of_the_model(breast_cancer, frame, make):
    given = make(frame)
    scored = score_frame(LocalScorer(breast_cancer, explain=1), given)
    assert type(scored) is type(given)
    scores = [row["score"] for row in scored] if isinstance(scored, list) else scored["score"]
    np.testing.assert_allclose(np.asarray(scores), breast_cancer.elbo(frame).score, rtol=1e-6)


def test_a_model_here_and_a_service_give_the_same_frame(breast_cancer, frame, url):
    here = score_frame(LocalScorer(breast_cancer, explain=2), frame)
    with Client(url) as client:
        there = score_frame(RemoteScorer(client, "breast-cancer", explain=2), frame)
    pd.testing.assert_frame_equal(here, there, rtol=1e-5)
    assert list(here.index) == list(frame.index)


def test_columns_that_the_model_does_not_have_are_kept(breast_cancer, frame):
    scored = score_frame(LocalScorer(breast_cancer), frame.assign(patient="x"))
    assert set(scored["patient"]) == {"x"}
    with pytest.raises(InputError, match="patient"):
        score_frame(LocalScorer(breast_cancer), frame.assign(patient="x"), strict=True)


def test_a_relation_of_duckdb_gives_an_arrow_table(breast_cancer, frame):
    relation = duckdb.connect().from_df(frame)
    scored = score_frame(LocalScorer(breast_cancer), relation)
    assert isinstance(scored, pa.Table)
    np.testing.assert_allclose(scored["score"].to_numpy(), breast_cancer.elbo(frame).score, rtol=1e-6)


def test_without_a_calibration_for_the_draws_verdicts_are_null(breast_cancer, frame):
    scored = score_frame(LocalScorer(breast_cancer, num_samples=3), pa.Table.from_pandas(frame))
    assert scored["is_anomaly"].null_count == scored["p_value"].null_count == 20
    assert pa.types.is_boolean(scored["is_anomaly"].type)


def test_an_array_is_refused(breast_cancer, benign_rows):
    with pytest.raises(InputError, match="expected a frame, an Arrow table or a list of dicts, not ndarray"):
        score_frame(LocalScorer(breast_cancer), benign_rows)
