"""Labels that came late: joining them with scores, the rates, and warnings about how labelled rows were chosen."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from scipy.stats import binom
from typer.testing import CliRunner

from vaekit.bundle.intervals import clopper_pearson
from vaekit.cli import app
from vaekit.errors import InputError
from vaekit.scoring.feedback import scores as scores_module
from vaekit.scoring.feedback.labels import read_labels
from vaekit.scoring.feedback.rates import Counts, Rate, chosen_by_flag, only_flagged, weighted
from vaekit.scoring.feedback.report import EVERY_GROUP, Feedback, feedback
from vaekit.scoring.feedback.scores import join


def write_log(folder: Path, name: str = "a", **columns: Any) -> None:
    """A file of a score log; columns that are not given have usual values."""
    n = len(next(iter(columns.values())))
    usual: dict[str, Any] = {
        "time": np.arange(n), "request_id": ["r"] * n, "row": range(n), "id": [None] * n, "model": ["m"] * n,
        "version": [1] * n, "group": [None] * n, "alpha": [0.05] * n, "p_value": [0.5] * n, "score": [0.0] * n,
        "is_anomaly": [False] * n, "novel": [None] * n, "num_samples": [8] * n, "seed": [None] * n,
        "precision": ["float32"] * n,
    }  # fmt: skip
    kinds = {"id": pa.string(), "request_id": pa.string(), "row": pa.int32(), **scores_module.KINDS}
    arrays = {field: pa.array(list({**usual, **columns}[field])).cast(kind) for field, kind in kinds.items()}
    folder.mkdir(exist_ok=True)
    pq.write_table(pa.table(arrays), folder / f"scores-{name}.parquet")


def labelled(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


def measured(tmp_path: Path, text: str, **more: Any) -> Feedback:
    return feedback(labelled(tmp_path / "labels.csv", text), tmp_path / "log", **more)


def test_labels_are_joined_by_id_and_counted_by_label_and_flag(tmp_path: Path) -> None:
    write_log(tmp_path / "log", id=["a", "b", "007", "d", None], is_anomaly=[True, False, True, False, True])
    found = measured(tmp_path, "id,label\na,0\nb,0\n007,1\nd,1\nx,0\ne,\n,1\n")
    (part,) = found.parts
    assert (found.labels, found.matched, found.unlabelled, found.rows_without_id) == (5, 4, 2, 1)
    assert part.false_alarms == Rate(1, 2, 0.5, *clopper_pearson(1, 2))
    assert part.detections == Rate(1, 2, 0.5, *clopper_pearson(1, 2))
    assert (part.name, part.alpha, part.scored, part.scored_flagged) == ("m@1", 0.05, 5, 3)


def test_labels_without_ids_are_joined_by_request_and_row(tmp_path: Path) -> None:
    write_log(tmp_path / "log", request_id=["p", "p", "q"], row=[0, 1, 0], is_anomaly=[True, False, False])
    found = measured(tmp_path, "request_id,row,label\np,0,1\nq,0,0\nq,1,0\n")
    assert found.matched == 2
    assert (found.parts[0].detections.hits, found.parts[0].false_alarms.n) == (1, 1)


def test_repeated_labels_count_once_and_conflicting_ones_not_at_all(tmp_path: Path) -> None:
    path = labelled(tmp_path / "labels.csv", "id,label\na,0\na,0.0\nb,1\nb,0\nc,true\n")
    found = read_labels(path, id_column="id", label="label", anomalies=["1"])
    assert (found.keys.to_pylist(), found.is_anomaly.tolist()) == (["a", "c"], [False, True])
    assert (found.duplicates, found.conflicting, found.unlabelled) == (1, 1, 0)


def test_the_last_score_of_an_id_counts_once_for_each_version(tmp_path: Path) -> None:
    write_log(tmp_path / "log", "a", id=["a", "a", "a"], time=[3, 1, 2], is_anomaly=[False, True, True])
    write_log(tmp_path / "log", "b", id=["a"], version=[2], is_anomaly=[True])
    found = measured(tmp_path, "id,label\na,0\n")
    assert [(part.version, part.false_alarms.hits, part.false_alarms.n) for part in found.parts] == [
        (1, 0, 1),
        (2, 1, 1),
    ]
    assert (found.matched, found.scored_again) == (1, 2)


def test_a_second_look_without_a_verdict_does_not_remove_a_flagged_row_from_the_rates(tmp_path: Path) -> None:
    write_log(tmp_path / "log", id=list("abcda"), time=[1, 1, 1, 1, 9], is_anomaly=[True, False, False, False, None])
    found = measured(tmp_path, "id,label\na,0\nb,0\nc,0\nd,0\n")
    assert (found.parts[0].false_alarms.hits, found.parts[0].false_alarms.n) == (1, 4)
    assert (found.matched, found.scored_again) == (4, 1)


@pytest.mark.parametrize("compact", [1, 3, 2**20])
def test_memory_does_not_grow_with_rows_that_are_scored_again(
    compact: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scores_module, "COMPACT", compact)
    monkeypatch.setattr(scores_module, "BATCH", 2)
    write_log(tmp_path / "log", id=list("abababc"), is_anomaly=[True, True, True, True, False, True, False])
    found = measured(tmp_path, "id,label\na,0\nb,0\nc,0\n")
    assert (found.matched, found.scored_again, found.parts[0].false_alarms.hits) == (3, 4, 1)


def test_rates_are_by_model_version_group_and_alpha_and_over_all_groups(tmp_path: Path) -> None:
    write_log(
        tmp_path / "log", id=list("abcd"), group=["g=1", "g=1", "g=2", "g=2"], is_anomaly=[True, False, False, None],
        alpha=[0.05, 0.05, 0.05, None],
    )  # fmt: skip
    found = measured(tmp_path, "id,label\na,0\nb,0\nc,0\nd,0\n")
    assert [(part.group, part.false_alarms.hits, part.false_alarms.n) for part in found.parts] == [
        (EVERY_GROUP, 1, 3), ("g=1", 1, 2), ("g=2", 0, 1),
    ]  # fmt: skip
    assert (found.rows_without_verdict, found.parts[0].scored) == (1, 3)


def test_another_alpha_compares_the_p_values(tmp_path: Path) -> None:
    write_log(tmp_path / "log", id=list("abc"), p_value=[0.1, 0.2, 0.01], alpha=[0.05, 0.01, 0.3])
    (part,) = measured(tmp_path, "id,label\na,0\nb,0\nc,1\n", alpha=0.1).parts
    assert (part.alpha, part.false_alarms.hits, part.detections.hits) == (0.1, 1, 1)


def test_scored_files_are_joined_by_a_column_that_was_kept(tmp_path: Path) -> None:
    table = pa.table({"ticket": [1, 2], "score": [0.0, 9.0], "p_value": [0.5, 0.01], "is_anomaly": [False, True],
                      "model": ["T", "T"]})  # fmt: skip
    pq.write_table(table, tmp_path / "scored.parquet")
    path = labelled(tmp_path / "labels.csv", "ticket,label\n1,bad\n2,bad\n")
    (part,) = feedback(path, tmp_path / "scored.parquet", id_column="ticket", anomalies=["bad"]).parts
    assert (part.name, part.detections.hits, part.detections.n) == ("scored files", 1, 2)


def test_labels_in_parquet_may_have_numbers_as_ids_and_a_dictionary_of_labels(tmp_path: Path) -> None:
    write_log(tmp_path / "log", id=["1", "2"])
    table = pa.table({"id": pa.array([1.0, None, 2.0]), "label": pa.array(["ok", "ok", "bad"]).dictionary_encode()})
    pq.write_table(table, tmp_path / "labels.parquet")
    found = feedback(tmp_path / "labels.parquet", tmp_path / "log", anomalies=["bad"])
    assert (found.matched, found.unlabelled, found.parts[0].detections.n) == (2, 1, 1)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("ticket,label\n1,0\n", "no column 'request_id'.*; the ids are in 'id'"),
        ("id,mark\n1,0\n", "no column 'label'"),
        ("id,label\n1,\n", "no row has both an id and a label"),
    ],
)
def test_labels_that_cannot_be_used_are_refused(text: str, says: str, tmp_path: Path) -> None:
    write_log(tmp_path / "log", id=["1"])
    with pytest.raises(InputError, match=says):
        measured(tmp_path, text)


def test_a_folder_without_finished_files_says_so(tmp_path: Path) -> None:
    (tmp_path / "log").mkdir()
    (tmp_path / "log" / "scores-m-1.partial").write_bytes(b"")
    with pytest.raises(InputError, match=r"no \.parquet file; 1 files of the score log are not finished yet"):
        measured(tmp_path, "id,label\n1,0\n")


@pytest.mark.parametrize(("hits", "n"), [(0, 1), (1, 1), (0, 20), (3, 20), (20, 20), (50, 1000)])
def test_the_exact_interval_has_its_defining_property(hits: int, n: int) -> None:
    low, high = clopper_pearson(hits, n)
    assert low == 0 if hits == 0 else binom.sf(hits - 1, n, low) == pytest.approx(0.025)
    assert high == 1 if hits == n else binom.cdf(hits, n, high) == pytest.approx(0.025)


def counts_of(flagged: np.ndarray, anomaly: np.ndarray, labelled: np.ndarray) -> Counts:
    def of(which: np.ndarray) -> tuple[int, int]:
        return int((labelled & which).sum()), int((labelled & which & flagged).sum())

    return Counts(*of(~anomaly), *of(anomaly), len(flagged), int(flagged.sum()))


def draw(rng: np.random.Generator, of_flagged: float, of_others: float) -> tuple[Counts, float, float]:
    """Counts with these shares of flagged and other rows labelled, and the true rates."""
    anomaly = rng.random(4000) < 0.1
    flagged = rng.random(4000) < np.where(anomaly, 0.7, 0.05)
    labelled = rng.random(4000) < np.where(flagged, of_flagged, of_others)
    return counts_of(flagged, anomaly, labelled), float(flagged[~anomaly].mean()), float(flagged[anomaly].mean())


def test_weighted_rates_are_right_where_the_rates_of_labelled_rows_are_not() -> None:
    rng = np.random.default_rng(0)
    plain, by_weight, covered = [], [], []
    for _ in range(200):
        counts, alarms, detections = draw(rng, 0.8, 0.05)
        far, detected = weighted(counts)
        assert far is not None
        assert detected is not None
        plain.append(counts.normal_flagged / counts.normal - alarms)
        by_weight.append(far.value - alarms)
        covered += [far.low <= alarms <= far.high, detected.low <= detections <= detected.high]
    assert np.mean(plain) > 0.2
    assert abs(np.mean(by_weight)) < 3 * np.std(by_weight) / np.sqrt(200)
    assert np.mean(covered) >= 0.95


def test_labels_at_random_are_rarely_called_chosen_and_labels_of_flagged_rows_always() -> None:
    rng = np.random.default_rng(1)
    assert sum(chosen_by_flag(draw(rng, 0.1, 0.1)[0]) for _ in range(300)) <= 3
    assert all(chosen_by_flag(draw(rng, 0.3, 0.03)[0]) for _ in range(50))


def test_labels_of_flagged_rows_alone_give_no_rate(tmp_path: Path) -> None:
    write_log(tmp_path / "log", id=[str(i) for i in range(100)], is_anomaly=[i < 10 for i in range(100)])
    found = measured(tmp_path, "id,label\n" + "".join(f"{i},{i % 2}\n" for i in range(10)))
    (part,) = found.parts
    assert part.only_flagged
    assert part.false_alarms == Rate(5, 5, None, None, None)
    assert part.weighted_false_alarms is None
    assert "labels of flagged rows alone give no false-alarm rate" in found.warnings[0]
    assert not only_flagged(Counts(2, 2, 0, 0, 2, 2)), "all rows were flagged"


def test_the_command_prints_json_a_table_and_writes_a_figure(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    write_log(tmp_path / "log", id=list("abcd"), is_anomaly=[True, False, True, False])
    path = labelled(tmp_path / "labels.csv", "id,label\na,0\nb,0\nc,1\n")
    arguments = ["feedback", str(path), "--scores", str(tmp_path / "log")]
    told = json.loads(CliRunner().invoke(app, [*arguments, "--json"]).stdout)
    assert told["parts"][0]["false_alarms"]["hits"] == 1
    done = CliRunner().invoke(app, [*arguments, "--out", str(tmp_path / "out")])
    assert done.exit_code == 0, done.output
    assert "3 of 3 labels have a score" in done.stdout
    assert "m@1" in done.stdout
    assert json.loads((tmp_path / "out" / "feedback.json").read_text()) == told
    assert (tmp_path / "out" / "feedback.png").stat().st_size > 1000


def test_joining_keeps_payloads_if_asked(tmp_path: Path) -> None:
    write_log(tmp_path / "log", id=["a"])
    table = pq.read_table(tmp_path / "log" / "scores-a.parquet")
    pq.write_table(table.append_column("input", pa.array([{"x": 1.0}])), tmp_path / "log" / "scores-a.parquet")
    labels = read_labels(
        labelled(tmp_path / "l.csv", "id,label\na,0\n"), id_column="id", label="label", anomalies=["1"]
    )
    assert join(labels, tmp_path / "log", payloads=True).rows.column("input").to_pylist() == [{"x": 1.0}]
    assert "input" not in join(labels, tmp_path / "log").rows.column_names


def test_a_column_that_occurs_twice_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="more than one column has the name 'id'"):
        measured(tmp_path, "id,id,label\n1,1,0\n")


def test_labels_as_views_of_text_are_read(tmp_path: Path) -> None:
    path = tmp_path / "labels.parquet"
    cells = {"id": pa.array(["a", "b"], pa.string_view()), "label": pa.array(["1", "0"], pa.string_view())}
    pq.write_table(pa.table(cells), path)
    found = read_labels(path, id_column="id", label="label", anomalies=["1"])
    assert (found.keys.to_pylist(), found.is_anomaly.tolist()) == (["a", "b"], [True, False])
