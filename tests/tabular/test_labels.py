"""Labels that mean anomaly: every spelling, and the same meaning in training and in evaluation."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from vaekit.errors import InputError
from vaekit.scoring.files.csv_file import CsvSource
from vaekit.scoring.files.labels import open_labels
from vaekit.storage.paths import storage_path
from vaekit.tabular.labels import AnomalyLabels, label_text
from vaekit_training.data.load import load
from vaekit_training.sections import DataConfig


@pytest.mark.parametrize("wanted", [1, 1.0, True, "1", "1.0", "true", "True"], ids=repr)
@pytest.mark.parametrize(
    "label", [1, 1.0, True, np.True_, np.int8(1), Decimal(1), "1", " 1.0", "true", "TRUE"], ids=repr
)
def test_one_and_true_are_the_same_label_in_every_spelling(wanted: Any, label: Any) -> None:
    anomalous, missing = AnomalyLabels((wanted,)).of([label, 0, False, "0", "false", "2", "normal"])
    assert anomalous.tolist() == [True] + [False] * 6
    assert not missing.any()


@pytest.mark.parametrize("label", [None, np.nan, "", " ", "NA", "null"], ids=repr)
def test_a_missing_label_is_not_an_anomaly_unless_it_is_one_of_the_anomaly_labels(label: Any) -> None:
    assert label_text(label) == ""
    anomalous, missing = AnomalyLabels(("NA",)).of([label])
    assert (anomalous[0], missing[0]) == ((True, False) if label == "NA" else (False, True))


@pytest.mark.parametrize(
    ("labels", "wanted", "anomalies"),
    [
        (["0", "1", "0"], 1, [False, True, False]),
        (["false", "true", "false"], 1, [False, True, False]),
        (["0", "1.0", "x"], 1, [False, True, False]),
        (["true", "normal", "1"], 1, [True, False, True]),
        (["normal", "attack ", "attack"], "attack", [False, True, True]),
        (["0", "NA", "1"], 1, None),
        (["0", " ", "1"], 1, None),
        (["normal", "NA", "attack"], "attack", None),
    ],
    ids=str,
)
def test_the_labels_of_a_csv_file_mean_the_same_in_training_and_evaluation(
    tmp_path: Path, labels: list[str], wanted: Any, anomalies: list[bool] | None
) -> None:
    path = tmp_path / "rows.csv"
    path.write_text("a,label\n" + "".join(f"{i},{label}\n" for i, label in enumerate(labels)))
    config = DataConfig(source=str(path), label="label", anomalies=(wanted,))
    source = CsvSource(storage_path(path), 100)
    read = open_labels("label", [str(wanted)], source.schema)
    if anomalies is None:
        with pytest.raises(InputError, match="row 1, feature 'label': missing value in the column of labels"):
            load(config)
        with pytest.raises(InputError, match="row 1, label 'label': missing"):
            read.take(next(source.chunks()))
        return
    assert load(config).anomaly.tolist() == anomalies
    assert read.take(next(source.chunks())).tolist() == anomalies
