"""Tolerance rules in scored files: a column that names them, a summary that counts them, files that hold them."""

from __future__ import annotations

import json
import pickle
import re
import tomllib
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from numpy.typing import NDArray
from typer.testing import CliRunner

from vaekit.cli import app
from vaekit.errors import InputError
from vaekit.runtime import Model
from vaekit.scoring.batch.ray_engine import ScorerFactory
from vaekit.scoring.batch.tally import Tally
from vaekit.scoring.files.rules_file import read_rules
from vaekit.scoring.scorers import ScoringOptions
from vaekit_training.config import make_config

ROOT = Path(__file__).resolve().parents[2]
HOW_TO = ROOT / "docs" / "how-to" / "tolerate-deviations.md"
COLUMN, OTHER = 3, 7


@pytest.fixture
def source(breast_cancer: Model, benign_rows: NDArray[np.float64], tmp_path: Path) -> Path:
    """60 rows; the mean area of the first 20 deviates, and the mean concave points of the next 10."""
    x, sd = benign_rows[:60].copy(), benign_rows.std(axis=0)
    x[:20, COLUMN] += 6 * sd[COLUMN]
    x[20:30, OTHER] += 8 * sd[OTHER]
    names = breast_cancer.spec.names  # type: ignore[union-attr]  # a model of columns
    pq.write_table(pa.table(dict(zip(names, x.T, strict=True))), tmp_path / "rows.parquet")
    return tmp_path / "rows.parquet"


@pytest.fixture
def rules(tmp_path: Path) -> Path:
    (tmp_path / "rules.toml").write_text('["mean area"]\nabove = 2000\nbelow = "any"\n')
    return tmp_path / "rules.toml"


def vae(*words: str | Path) -> str:
    done = CliRunner().invoke(app, [*map(str, words)])
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    assert done.exit_code == 0, done.output
    return done.output


def test_vae_score_removes_alarms_names_the_rules_and_counts_them(source: Path, rules: Path, models_dir: Path) -> None:
    plain, ruled = source.with_name("plain.parquet"), source.with_name("ruled.parquet")
    score = ("score", "breast-cancer", source)
    summary = source.with_name("run.json")
    assert "tolerance rules" not in vae(*score, plain, "--models", models_dir)
    said = vae(*score, ruled, "--models", models_dir, "--ignore", rules, "--summary", summary)
    before, after = pq.read_table(plain), pq.read_table(ruled)
    assert "tolerated" not in before.column_names
    assert after.drop_columns(["tolerated", "is_anomaly"]).equals(before.drop_columns(["is_anomaly"]))  # bit for bit
    was, now = (table["is_anomaly"].to_numpy() for table in (before, after))
    removed = was & ~now
    assert removed[:20].all()
    assert not removed[20:30].any()
    assert not (now & ~was).any()
    assert after["tolerated"].to_pylist() == ["mean area" if gone else None for gone in removed]
    assert f"{removed.sum()} alarms removed by tolerance rules, by column: mean area {removed.sum()}" in said
    counted = json.loads(summary.read_text())
    assert counted["tolerated"] == {"rows": removed.sum(), "rules": {"mean area": removed.sum()}}
    assert counted["anomalies"] == now.sum()


def test_a_service_writes_the_same_file(source: Path, rules: Path, models_dir: Path, url: str) -> None:
    as_json = rules.with_suffix(".json")
    as_json.write_text('{"mean area": {"above": 2000, "below": "any"}}')
    for name, where in (("here", ["--models", models_dir]), ("there", ["--url", url])):
        vae("score", "breast-cancer", source, source.with_name(f"{name}.parquet"), "--ignore", as_json, *where)
    here, there = (pq.read_table(source.with_name(f"{name}.parquet")) for name in ("here", "there"))
    assert here.schema == there.schema
    for name in ("tolerated", "is_anomaly", "p_value"):
        assert here[name].equals(there[name]), name


def test_a_folder_resumes_only_with_the_same_rules(source: Path, rules: Path, models_dir: Path) -> None:
    score = ("score", "breast-cancer", source, source.with_name("parts"), "--models", models_dir, "--part-rows", "20")
    vae(*score, "--ignore", rules)
    said = vae(*score, "--ignore", rules, "--resume")
    assert "alarms removed by tolerance rules, by column: mean area" in said
    rules.write_text('["mean area"]\nabove = 1000\n')
    with pytest.raises(InputError, match="cannot be resumed: ignore was"):
        vae(*score, "--ignore", rules, "--resume")
    with pytest.raises(InputError, match="cannot be resumed: "):
        vae(*score, "--resume")


def test_the_rules_that_the_how_to_and_the_example_show_are_valid(tmp_path: Path) -> None:
    in_file, in_config = re.findall(r"```toml\n(.*?)```", HOW_TO.read_text(), re.DOTALL)
    (tmp_path / "rules.toml").write_text(in_file)
    rules = read_rules(tmp_path / "rules.toml")
    assert {name: rule.model_dump(exclude_defaults=True) for name, rule in rules.items()} == {
        "temperature": {"above": 5},
        "pressure": {"above": 0.2, "below": 0.2},
        "flow": {"below": "any"},
    }
    config = make_config({"name": "m", "data": {"source": "memory"}, **tomllib.loads(in_config)})
    assert config.ignore == {name: rules[name] for name in ("temperature", "pressure")}
    assert len(read_rules(ROOT / "examples" / "ignore.toml")) == 3


BAD = {  # name, content -> message
    "not a rules file": ("rules.yaml", "a: 1", "expected a file that ends in .toml or .json"),
    "not TOML": ("rules.toml", "[a", "not TOML"),
    "not JSON": ("rules.json", "{", "not JSON"),
    "not UTF-8": ("rules.json", b"\xff\xfe{", "not UTF-8"),
    "a column twice in TOML": ("rules.toml", "[a]\nabove = 1\n[a]\nbelow = 1\n", "not TOML"),
    "a column twice in JSON": ("rules.json", '{"a": {"above": 1}, "a": {"below": 1}}', "'a' is given twice"),
    "a list": ("rules.json", "[]", "expected rules by column name"),
    "NaN": ("rules.json", '{"a": {"above": NaN}}', "column 'a': above: nan: expected a number of at least 0"),
    "infinity": ("rules.toml", "[a]\nabove = inf\n", "column 'a': above: inf: expected a number"),
    "a negative size": ("rules.toml", "[a]\nbelow = -1\n", "column 'a': below: -1: expected a number"),
    "an unknown key": ("rules.toml", "[a]\nover = 1\n", "column 'a': over: no such key; the keys are above and below"),
}


@pytest.mark.parametrize("case", BAD)
def test_a_rules_file_that_cannot_be_used_is_refused_with_its_path(tmp_path: Path, case: str) -> None:
    name, content, message = BAD[case]
    path = tmp_path / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(InputError) as caught:
        read_rules(path)
    assert str(caught.value).startswith(f"--ignore: {path}")
    assert message in str(caught.value)


def test_a_rules_file_that_does_not_exist_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="No such file"):
        read_rules(tmp_path / "none.toml")


def test_an_unknown_column_is_refused_before_any_row_is_read(rules: Path, models_dir: Path, url: str) -> None:
    rules.write_text("[area]\nabove = 1\n")
    for where in (["--models", models_dir], ["--url", url]):
        with pytest.raises(InputError, match="ignore: column 'area' is not a column of the model; its columns are"):
            vae(
                "score",
                "breast-cancer",
                rules.with_name("no.csv"),
                rules.with_name("out.csv"),
                "--ignore",
                rules,
                *where,
            )


def test_the_scorer_of_a_ray_actor_has_the_rules(rules: Path, models_dir: Path) -> None:
    options: ScoringOptions = {"num_samples": None, "alpha": 0.05, "explain": None, "ignore": read_rules(rules)}
    factory = ScorerFactory(str(models_dir / "breast-cancer" / "1"), options)
    scorer = pickle.loads(pickle.dumps(factory)).make()
    assert "tolerated" in scorer.appended.names
    assert scorer.facts["ignore"] == {"mean area": {"above": 2000.0, "below": "any"}}


def test_a_tally_of_an_earlier_version_has_no_rules() -> None:
    found: dict[str, Any] = Tally().to_json()
    del found["rules"], found["tolerated"]
    assert Tally.from_json(found).tolerated == 0
    tally = Tally(tolerated=2)
    tally.rules.update({"a": 2, "b": 1})
    tally.merge(Tally.from_json(json.loads(json.dumps(tally.to_json()))))
    assert (tally.tolerated, tally.rules) == (4, {"a": 4, "b": 2})
