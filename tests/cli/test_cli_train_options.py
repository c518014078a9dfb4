"""The options of `vae train` that stand for settings, its remarks on columns, and its summary."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console
from typer.testing import CliRunner

from tests.conftest import ROOT
from vaekit.bundle import Calibration, Manifest, open_bundle
from vaekit.bundle.manifest import Metric
from vaekit.bundle.privacy import Privacy
from vaekit.bundle.thresholds import thresholds
from vaekit.cli import app
from vaekit.cli.remarks import Remarks
from vaekit.cli.train_report import report
from vaekit.errors import ConfigError, InputError
from vaekit_training.config import load_config
from vaekit_training.data.looks import label_remarks
from vaekit_training.report.answer.verdict import Rates

QUICK = ["--set", "training.steps=30", "--set", "network.hidden=[8]", "--set", "network.latent_dim=2"]


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with rows of two columns, a comment and the label of three faults."""
    x = np.random.default_rng(0).standard_normal((120, 2)).round(3)
    x[:3] += 20
    lines = ["load,temp,shift,fault", *(f"{a},{b},{'ab'[i % 2]},{int(i < 3)}" for i, (a, b) in enumerate(x))]
    (tmp_path / "pumps.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def vae(*words: str) -> Any:
    return CliRunner().invoke(app, ["train", *words])


@pytest.mark.slow
def test_label_exclude_name_and_seed_are_settings_of_the_config(place: Path) -> None:
    done = vae("pumps.csv", "--label", "fault", "--exclude", "shift", "--name", "P-1", "--seed", "7", *QUICK)
    assert isinstance(done.exception, ConfigError)
    assert "config: name: 'P-1': expected 1 to 64 lower-case letters, digits, - and _, such as 'p-1'" in str(
        done.exception
    )
    done = vae("pumps.csv", "--label", "fault", "--exclude", "shift", "--name", "p-1", "--seed", "7", "--json", *QUICK)
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)
    assert (found["model"], found["folder"]) == ("p-1@1", "models/p-1/1")
    assert found["smallest_alpha"] == pytest.approx(1 / (found["calibration_rows"] + 1))
    assert found["metrics"]["auroc"]["value"] > 0.9
    assert Path(found["report"]).is_file()
    config = load_config(place / "models/p-1/1/config.toml")
    assert (config.data.label, config.data.exclude, config.training.seed) == ("fault", ("shift",), 7)
    again = vae("models/p-1/1/config.toml", "--exclude", "temp", "--quiet", *QUICK)
    assert (again.stdout, again.stderr) == ("models/p-1/2\n", "")
    assert load_config(place / "models/p-1/2/config.toml").data.exclude == ("shift", "temp")


CHOICE, REMARK = "600 images of 48 x 48 pixels (width x height), grey: the likelihood is gaussian", "column 'n' is odd"


def test_a_choice_is_printed_at_once_and_a_remark_at_the_end_each_once(capsys: pytest.CaptureFixture[str]) -> None:
    with Remarks(Console(stderr=True, width=200)) as remarks:
        for text in (REMARK, CHOICE, REMARK, CHOICE):
            remarks.add(text)
        assert capsys.readouterr().err == f"{CHOICE}\n"
        remarks.at_end()
        assert capsys.readouterr().err == f"remark: {REMARK}\n"
    assert capsys.readouterr().err == ""


def test_remarks_come_before_the_steps_of_a_training_and_the_end_counts_them(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with Remarks(Console(stderr=True, width=200)) as remarks:
        remarks.add(REMARK)
        remarks.on_step()
        assert capsys.readouterr().err == f"remark: {REMARK}\n"
        remarks.on_step()
        remarks.warn("a step was not finite")
        assert capsys.readouterr().err == "warning: a step was not finite\n"
        remarks.at_end()
    assert capsys.readouterr().err == "2 remarks above, from before or during the training\n"


def test_a_training_that_fails_prints_its_remarks(capsys: pytest.CaptureFixture[str]) -> None:
    remarks = Remarks(Console(stderr=True, width=200))
    remarks.add(REMARK)
    with pytest.raises(InputError), remarks:
        raise InputError("too few rows")
    assert REMARK in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.usefixtures("place")
def test_the_summary_says_what_is_found_and_verbose_prints_all_figures() -> None:
    done = vae("pumps.csv", "--label", "fault", "--exclude", "shift", *QUICK)
    assert "pumps@1: finds 100% of the known anomalies at alpha = 0.05 (AUROC 1.000" in done.stderr
    for said in (
        "held out to calibrate",
        "smallest alpha",
        "false alarms",
        "report: models/pumps/1/report/report.html",
    ):
        assert said in done.stderr
    assert "parity" not in done.stderr
    done = vae("pumps.csv", "--verbose")
    assert done.stderr.count("column 'fault' looks like a label") == 1
    assert "--label fault --anomaly 1 keeps" in done.stderr
    summary = done.stderr.split("report: ")[1]
    assert "remark: column 'fault' looks like a label" in summary
    assert "the likelihood is" not in summary
    assert "without labels (--label COLUMN) detection is not measured" in done.stderr
    assert "parity" in done.stderr


def published(rows: int, flagged: float) -> Manifest:
    """The manifest of the example with a calibration on so many rows, and this rate of false alarms of 100 rows."""
    manifest = open_bundle(ROOT / "models/breast-cancer/1").manifest
    assert manifest.calibration is not None
    found = thresholds(Calibration.of(np.arange(float(rows))))
    entry = manifest.calibration.entries[0].model_copy(update={"n": rows, "thresholds": found})
    alarms = Metric(value=flagged, standard_error=0.03, n=100)
    return manifest.model_copy(
        update={
            "calibration": manifest.calibration.model_copy(update={"entries": (entry,)}),
            "metrics": {**manifest.metrics, "false_alarm_rate": alarms},
        }
    )


def summary(manifest: Manifest, capsys: pytest.CaptureFixture[str]) -> str:
    console = Console(stderr=True, width=120)
    report(manifest, Path("models"), console, Remarks(console), as_json=False, verbose=False)
    return capsys.readouterr().err


@pytest.mark.parametrize(("rows", "hint"), [(119, True), (1999, False)])
def test_the_true_rate_is_the_range_of_the_report_with_a_hint_where_it_is_wide(
    rows: int, hint: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    manifest = published(rows, 0.1)
    own = Rates.of(manifest).own
    assert own is not None
    shown = summary(manifest, capsys)
    assert f"between {own[0]:.1%} and {own[1]:.1%} for this one model" in shown
    assert ("vae calibrate breast-cancer NORMAL.csv" in shown) is hint
    assert "unlike" not in shown


def test_more_false_alarms_than_chance_explains_are_said(capsys: pytest.CaptureFixture[str]) -> None:
    assert "25.0% ± 3.0% of 100 test rows" in (shown := summary(published(999, 0.25), capsys))
    assert "chance does not explain so many false alarms: the test rows are unlike the calibration rows" in shown


@pytest.mark.parametrize(
    ("prior", "said"),
    [
        ("kernel", "the bundle contains 27 training rows: everyone who has it can compute them"),
        ("aggregate", "the bundle contains latents of 27 training rows: everyone who has it can reconstruct them"),
        ("normal", None),
    ],
)
def test_training_rows_in_the_bundle_are_said(prior: str, said: str | None, capsys: pytest.CaptureFixture[str]) -> None:
    manifest = published(99, 0.05)
    update = {"prior": manifest.prior.model_copy(update={"name": prior}), "privacy": Privacy(training_rows=27)}
    shown = summary(manifest.model_copy(update=update), capsys)
    assert said is None or said in shown
    assert ("the bundle" in shown) is (said is not None)


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--label", "faults"], "no column 'faults' (did you mean 'fault'?); there are: load, temp, shift, fault"),
        (["--exclude", "Temp"], "no column 'Temp' (did you mean 'temp'?)"),
        (["--label", "fault", "--anomaly", "yes"], "no row has a value of data.anomalies ('yes',); seen: 0, 1"),
        (["--label", "fault", "--label-folder"], "--label-folder: the label of an image is its subfolder"),
    ],
)
@pytest.mark.usefixtures("place")
def test_a_column_or_label_that_is_not_there_is_refused_with_the_near_one(words: list[str], says: str) -> None:
    done = vae("pumps.csv", *words)
    assert isinstance(done.exception, InputError)
    assert says in str(done.exception)


@pytest.mark.parametrize(
    ("name", "values", "option"),
    [
        ("label", ["ok", "ok", "bad"], "--label label --anomaly bad"),
        ("is_anomaly", [0.0, 1.0, 0.0], "--label is_anomaly --anomaly 1"),
        ("Machine Fault", [False, False, True], "--label 'Machine Fault' --anomaly True"),
        ("classroom", ["a", "b", "b"], None),
        ("label", ["all", "all", "all"], None),
        ("y", list(range(30)), None),
    ],
)
def test_a_column_that_looks_like_a_label_is_named_with_the_option_to_use(
    name: str, values: list[Any], option: str | None
) -> None:
    (said,) = label_remarks({name: np.array(values, dtype=object)})
    assert said.startswith("all rows are treated as normal") if option is None else option in said
