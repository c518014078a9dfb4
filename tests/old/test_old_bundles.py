"""A bundle of format 1.0 and an old run folder: they load, give the same scores, and resume."""

from __future__ import annotations

import json
import lzma
import pickle
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from vaekit import Model
from vaekit.bundle import find
from vaekit.cli import app
from vaekit.errors import InputError
from vaekit.scoring import evaluate_file, publish_calibration
from vaekit.scoring.evaluation.plots import draw
from vaekit_training.config import load_config
from vaekit_training.loop.folder import Keep, resumed
from vaekit_training.run import Listener, train

HERE = Path(__file__).parent
SCORES: dict[str, Any] = json.loads((HERE / "scores.json").read_text())
CLOSE = {"rtol": 0.0, "atol": 1e-5}  # nats


@pytest.fixture(scope="module")
def old() -> Iterator[Model]:
    with Model.load(HERE / "sensors", device="cpu") as model:
        yield model


@pytest.mark.parametrize("name", ["elbo", "log_likelihood", "kl", "log_evidence"])
def test_a_bundle_of_format_1_0_gives_its_scores_to_1e_5_nats(old: Model, name: str) -> None:
    assert old.manifest.format == "1.0"
    got = getattr(old.elbo(SCORES["rows"]), name)
    np.testing.assert_allclose(got, SCORES[name], **CLOSE)
    alone = np.concatenate([getattr(old.elbo([row]), name) for row in SCORES["rows"]])
    np.testing.assert_allclose(alone, SCORES[name], **CLOSE)


def test_a_bundle_of_format_1_0_gives_its_p_values(old: Model) -> None:
    calibration = old.calibration()
    assert not isinstance(calibration, str)
    p_value = calibration.verdict(old.elbo(SCORES["rows"])).p_value
    np.testing.assert_allclose(p_value, SCORES["p_value"])


@pytest.mark.parametrize("row", [[25.0, None, "violet"], [25.0, 3.5, "red"], [25.0, -1, "blue"]])
def test_a_novel_row_gets_the_smallest_p_value_of_an_old_bundle_and_no_elbo(old: Model, row: list[Any]) -> None:
    calibration, scored = old.calibration(), old.elbo([row, SCORES["rows"][2]])
    assert not isinstance(calibration, str)
    p_value = calibration.verdict(scored).p_value
    np.testing.assert_allclose(p_value, [1 / (calibration.n + 1), SCORES["p_value"][2]])
    assert np.isnan(scored.elbo[0])
    np.testing.assert_allclose(scored.elbo[1], SCORES["elbo"][2], **CLOSE)


@pytest.mark.parametrize("batch_rows", [1, 2, None])
def test_held_out_rows_without_a_score_of_an_old_bundle_are_named(tmp_path: Path, batch_rows: int | None) -> None:
    shutil.copytree(HERE / "sensors", tmp_path / "sensors")
    novel = [25.0, 3.5, "red"]
    rows = [["broken", *novel], *(["ok", *row] for row in SCORES["rows"][:2]), ["ok", *novel], ["ok", *novel]]
    data = tmp_path / "held_out.csv"
    with Model.load(tmp_path / "sensors", device="cpu") as model:
        header = ["state", "load", "stops", "colour"]
        lines = [",".join("" if cell is None else str(cell) for cell in row) for row in [header, *rows]]
        data.write_text("\n".join(lines))
        message = (
            "^row 3: a bundle of format 1.0 has no score for a novel row; train the model again to score it, "
            "or leave the (row|novel rows) out$"
        )
        with pytest.raises(InputError, match=message):
            publish_calibration(model, data, label="state", anomalies=["broken"], batch_rows=batch_rows)
    assert [path.name for path in (tmp_path / "sensors").iterdir()] == ["1"]


def test_an_old_bundle_is_evaluated_on_the_rows_that_it_can_score(old: Model, tmp_path: Path) -> None:
    rows = [[f"{cell}" if cell is not None else "" for cell in row] for row in SCORES["rows"]]
    usual = [",".join([*row, "ok"]) for row in rows]
    novel = ["25.0,3.5,red,broken", "25.0,-1,blue,broken", "25,3,violet,ok"]
    odd = ["90.0,30,red,broken"]
    said: list[str] = []
    found = []
    for lines in ([*usual, *odd], [*usual, *novel, *odd]):
        (tmp_path / "rows.csv").write_text("\n".join(["load,stops,colour,state", *lines]))
        options: dict[str, Any] = {"num_samples": [2, 4], "label": "state", "anomalies": ["broken"]}
        found.append(evaluate_file(old, tmp_path / "rows.csv", say=said.append, **options))
    assert found[0].figures["normal"]["elbo"].n == found[1].figures["normal"]["elbo"].n == len(usual)
    assert found[1].figures["normal"]["log_evidence_4"].value == pytest.approx(
        found[0].figures["normal"]["log_evidence_4"].value
    )
    assert said == [
        "3 novel rows have no ELBO and are in no mean: a bundle of format 1.0 has no score for a novel row; train the "
        "model again to score it"
    ]
    for of_score in found[1].detection.values():
        assert of_score["auroc"].n == len(usual) + 4
    assert draw(found[1], tmp_path)
    (tmp_path / "rows.csv").write_text("load,stops,colour\n25.0,3.5,red\n")
    with pytest.raises(InputError, match=r"no row of a group has an ELBO: a bundle of format 1.0 .*; train the model"):
        evaluate_file(old, tmp_path / "rows.csv", num_samples=[2])


def test_a_bundle_of_format_1_0_encodes_decodes_and_samples(old: Model) -> None:
    drawn = old.sample(20, seed=1, observe=True)
    assert drawn.samples.shape == (20, 3)
    assert np.isfinite(old.decode(drawn.latents, drawn.members).mean).all()
    assert old.encode(SCORES["rows"]).mu.shape == (len(SCORES["rows"]), 2, 2)


def test_an_old_bundle_with_training_rows_inside_refuses_low_temperatures(old: Model) -> None:
    assert old.manifest.privacy is None
    with pytest.raises(InputError, match="copies of training rows, because its prior consists of them"):
        old.sample(2, seed=0, temperature=0.0)


def test_the_config_of_an_old_bundle_is_still_valid() -> None:
    config = load_config(HERE / "sensors" / "1" / "config.toml")
    assert config.prior.components == 40
    assert not config.privacy.allow_low_temperature


def test_a_detector_pickled_by_an_older_version_gives_its_scores_and_verdicts() -> None:
    with lzma.open(HERE / "detector.pkl.xz") as file:
        detector = pickle.load(file)
    want = json.loads((HERE / "detector.json").read_text())
    assert "strict" not in want["parameters"]  # a parameter that the older version did not have
    assert want["parameters"].items() <= detector.get_params().items()
    np.testing.assert_allclose(detector.score_samples(want["rows"]), want["score_samples"], **CLOSE)
    np.testing.assert_allclose(detector.p_value(want["rows"]), want["p_value"])
    assert detector.predict(want["rows"]).tolist() == want["predict"]
    again = pickle.loads(pickle.dumps(detector))
    assert repr(again) == repr(detector)
    assert again.predict(want["rows"]).tolist() == want["predict"]


def test_an_old_run_is_resumed_and_published(tmp_path: Path) -> None:
    shutil.copytree(HERE / "run", tmp_path / "run")
    steps: list[int] = []
    keep = Keep(tmp_path / "run", resume=True)
    train(
        resumed(tmp_path / "run"), tmp_path / "models", device="cpu", listener=Listener(on_step=steps.append),
        keep=keep, draws_report=False,
    )  # fmt: skip
    assert steps == list(range(52, 201))
    with Model.load(find(tmp_path / "models", "rows"), device="cpu") as model:
        assert model.manifest.privacy is not None
        assert model.manifest.privacy.training_rows == 30
        scores = model.elbo(np.load(tmp_path / "run" / "rows.npy"))
        assert np.isfinite(scores.elbo).all()
    assert scores.elbo.mean() > -8.0  # N(0, 1) in standardised units, without a latent: -7.3 nats


def test_vae_upgrade_says_what_a_bundle_of_format_1_0_lacks() -> None:
    done = CliRunner().invoke(app, ["upgrade", str(HERE / "sensors"), "--json"])
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)
    assert (found["model"], found["format"], found["command"]) == ("sensors@1", "1.0", None)
    by = {change["topic"]: change["by"] for change in found["changes"]}
    assert by.keys() == {"format", "novelty", "thresholds", "explanations", "draws", "privacy"}
    assert by["explanations"] == by["thresholds"] == "vae calibrate"
    assert by["privacy"] == by["format"] == by["novelty"] == "vae train"
    now = {change["topic"]: change["now"] for change in found["changes"]}
    assert "latents of 40 training rows" in now["privacy"]
    text = CliRunner().invoke(app, ["upgrade", str(HERE / "sensors")]).stdout
    assert all(topic in text for topic in by)
    assert "call vaekit_training.run.train, or Detector.fit, with them" in text


def test_vae_upgrade_names_the_command_that_trains_again(models_dir: Path) -> None:
    found = json.loads(CliRunner().invoke(app, ["upgrade", "digits@1", "--models", str(models_dir), "--json"]).stdout)
    assert found["command"] == f"vae train {models_dir}/digits/1/config.toml --models {models_dir}"
    assert "novelty" not in {change["topic"] for change in found["changes"]}  # images have no novel rows


def test_vae_upgrade_finds_nothing_to_upgrade_in_a_new_bundle(folded: Any) -> None:
    done = CliRunner().invoke(app, ["upgrade", "folded", "--models", str(folded.root)])
    assert done.exit_code == 0, done.output
    assert "folded@1: nothing to upgrade" in done.stdout


def test_vae_upgrade_refuses_a_broken_bundle(tmp_path: Path) -> None:
    shutil.copytree(HERE / "sensors", tmp_path / "sensors")
    (tmp_path / "sensors" / "1" / "noise.npy").write_bytes(b"")
    done = CliRunner().invoke(app, ["upgrade", "sensors", "--models", str(tmp_path)])
    assert "sha256" in str(done.exception)
