"""Spellings of levels, numbers and times in scored files mean the levels of training."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pytest

from tests.scoring.conftest import Squares, scored
from vaekit.bundle import VectorSpec
from vaekit.bundle.input_spec import Column
from vaekit.errors import InputError
from vaekit.tabular.arrow_cells import read_levels
from vaekit.tabular.encode import encode
from vaekit.tabular.invalid_rows import RaiseFirstFault

ONE = VectorSpec(columns=(Column(name="a", kind="category", levels=("1", "2.5", "01", "x")),))


@pytest.mark.parametrize(
    ("cell", "level"), [("1", 0), ("1.0", 0), ("001", 0), ("01", 2), ("2.50", 1), (" 2.5", 1), ("25e-1", 1)]
)
def test_other_spellings_of_a_number_map_to_its_level_in_requests_and_files(cell, level):
    assert encode([[cell]], ONE).tolist() == [[level]]
    assert encode([{"a": cell}, {"a": "x"}], ONE).tolist() == [[level], [3]]
    assert read_levels(pa.array([cell, "x"]), ONE.columns[0], RaiseFirstFault(0)).tolist() == [level, 3]


@pytest.mark.parametrize(
    "text", ["2024-01-01 10:00:00", "2024-01-01T10:00:00", "2024-01-01 10:00", "2024-01-01 10:00:00.5"]
)
def test_times_in_a_csv_map_to_the_levels_of_training(tmp_path, text):
    from vaekit_training.data.load import load
    from vaekit_training.sections import DataConfig, LikelihoodConfig

    (tmp_path / "rows.csv").write_text("at\n" + f"{text}\n2024-01-02 11:30:00\n" * 20)
    kinds: Any = {"at": "category"}
    trained = load(DataConfig(source=str(tmp_path / "rows.csv"), kinds=kinds), LikelihoodConfig(name="mixed"))
    column = Column(name="at", kind="category", levels=trained.levels[0])
    scorer = Squares(VectorSpec(columns=(column,)))
    scored(scorer, tmp_path / "rows.csv")
    np.testing.assert_array_equal(scorer.rows, trained.x)
    np.testing.assert_array_equal(encode([[text]], scorer.spec), trained.x[:1])


@pytest.mark.parametrize("cell", ["2024-01-01 00:00:01", "2024-01-01 00:00:00 ?", "now", "2024", "1_0", "x "])
def test_text_that_is_not_a_spelling_of_a_level_is_an_unseen_level_and_refused_if_strict(cell):
    column = Column(name="a", kind="category", levels=("2024-01-01T00:00:00", "2025-01-01", "10", "x"))
    spec = VectorSpec(columns=(column,))
    assert encode([[cell]], spec).tolist() == [[4.0]]
    with pytest.raises(InputError, match="not one of its 4 levels"):
        encode([[cell]], spec, strict=True)
    with pytest.raises(InputError, match="not one of its 4 levels"):
        read_levels(pa.array([cell]), column, RaiseFirstFault(0))
