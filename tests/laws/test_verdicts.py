"""A row's verdict does not depend on the other rows of its batch, on threads, or on the route."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest

from tests.live import serving
from vaekit import Client, Detector
from vaekit.bundle import AnyCalibration
from vaekit.runtime import Model
from vaekit.scoring import LocalScorer, Options, RemoteScorer, score_file
from vaekit_training.config import make_config
from vaekit_training.data.load import of_array
from vaekit_training.publish import publish_run
from vaekit_training.run import run

SIZES = (1, 2, 3, 7, 32, 100, 512)
TABLES = {
    "four equal binary columns": lambda rng, n: np.repeat(rng.binomial(1, 0.4, (n, 1)).astype(float), 4, axis=1),
    "counts of few values": lambda rng, n: rng.integers(0, [3, 2], (n, 2)).astype(float),
}
FAMILIES = {"four equal binary columns": "bernoulli", "counts of few values": "gaussian"}


@pytest.fixture(scope="module", params=TABLES)
def fitted(request: pytest.FixtureRequest) -> tuple[Detector, np.ndarray]:
    rng = np.random.default_rng(5)
    make = TABLES[request.param]
    settings = ["training.steps=200", "network.latent_dim=2"]
    detector = Detector(alpha=0.05, likelihood=FAMILIES[request.param], random_state=5, settings=settings)
    return detector.fit(make(rng, 200)), make(rng, 512)


def verdicts(calibration: AnyCalibration, model: Model, rows: np.ndarray, size: int) -> tuple[np.ndarray, np.ndarray]:
    found = [calibration.verdict(model.bound(rows[at : at + size]), 0.05) for at in range(0, len(rows), size)]
    return np.concatenate([one.p_value for one in found]), np.concatenate([one.is_anomaly for one in found])


def test_a_verdict_is_the_same_at_every_batch_size(fitted: tuple[Detector, np.ndarray]) -> None:
    detector, rows = fitted
    calibration = detector.model_.calibration()
    assert not isinstance(calibration, str)
    whole = verdicts(calibration, detector.model_, rows, len(rows))
    for size in SIZES:
        for one, other in zip(verdicts(calibration, detector.model_, rows, size), whole, strict=True):
            np.testing.assert_array_equal(one, other, err_msg=f"batches of {size}")


def test_a_verdict_of_an_image_is_the_same_at_every_batch_size(digits: Model, digit_images: np.ndarray) -> None:
    calibration = digits.calibration()
    assert not isinstance(calibration, str)
    images = np.concatenate([digit_images[:150], digit_images[:150]])  # each twice
    whole = verdicts(calibration, digits, images, len(images))
    for size in (1, 3, 32, 100):
        for one, other in zip(verdicts(calibration, digits, images, size), whole, strict=True):
            np.testing.assert_array_equal(one, other, err_msg=f"batches of {size}")


def test_a_verdict_is_the_same_in_several_threads(fitted: tuple[Detector, np.ndarray]) -> None:
    detector, rows = fitted
    want = detector.predict(rows)
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda at: detector.predict(rows[at : at + 16]), range(0, 512, 16)))
    np.testing.assert_array_equal(np.concatenate(found), want)


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, np.ndarray]:
    rng = np.random.default_rng(5)
    config = make_config(
        {"name": "bits", "data": {"source": "memory"}, "likelihood": {"name": "bernoulli"}},
        ["training.steps=200", "network.latent_dim=2"],
    )
    make = TABLES["four equal binary columns"]
    root = tmp_path_factory.mktemp("models")
    rows = of_array(make(rng, 200), ("a", "b", "c", "d"), config=config.data, likelihood=config.likelihood)
    publish_run(run(config, device="cpu", rows=rows), root, draws_report=False)
    return root, make(rng, 300)


def test_a_verdict_is_the_same_over_http_alone_together_and_at_once(published: tuple[Path, np.ndarray]) -> None:
    root, rows = published
    with serving(root) as url, Client(url) as client:

        def ask(some: Any) -> list[tuple[float, bool]]:
            found = client.elbo(some, alpha=0.05)
            assert found.p_value is not None
            assert found.is_anomaly is not None
            return list(zip(found.p_value.tolist(), found.is_anomaly.tolist(), strict=True))

        whole = ask(rows)
        assert ask(rows.tolist()) == whole  # as JSON
        assert [ask(rows[i : i + 1])[0] for i in range(0, 300, 10)] == whole[::10]
        with ThreadPoolExecutor(16) as pool:
            at_once = list(pool.map(lambda i: ask(rows[i : i + 1 + i % 5]), range(295)))
    for i, found in enumerate(at_once):
        assert found == whole[i : i + 1 + i % 5]


def test_a_verdict_is_the_same_on_every_route_and_in_every_format(
    published: tuple[Path, np.ndarray], tmp_path: Path
) -> None:
    root, rows = published
    by_name = [dict(zip("abcd", row, strict=True)) for row in rows.tolist()]
    forms = {"npy": rows, "json": rows.tolist(), "objects": by_name, "arrow": pa.Table.from_pylist(by_name)}
    files = {"csv": pyarrow.csv.write_csv, "parquet": pq.write_table}
    with Model.load(root / "bits", device="cpu") as model, serving(root) as url, Client(url) as client:
        calibration = model.calibration()
        assert not isinstance(calibration, str)
        want = calibration.verdict(model.bound(rows), 0.05)
        p_values = {f"Model.{ask.__name__}": ask(rows).p_value for ask in (model.elbo, model.bound, model.explain)}
        p_values |= {f"Model.elbo, {form}": model.elbo(given).p_value for form, given in forms.items()}
        p_values["Detector"] = Detector.of(model).p_value(rows)
        for form, given in forms.items():
            for options in ({}, {"log_evidence": False}, {"features": True}, {"explain": 2}):
                answer = client.elbo(given, alpha=0.05, **options)
                p_values[f"/elbo, {form}, {options}"] = answer.p_value
                np.testing.assert_array_equal(answer.is_anomaly, want.is_anomaly, err_msg=f"{form}, {options}")
        for ending, write in files.items():
            write(forms["arrow"], tmp_path / f"rows.{ending}")
            for scorer in (LocalScorer(model), RemoteScorer(client, "bits")):
                for batch in (7, 300):
                    out = tmp_path / "out.parquet"
                    score_file(scorer, tmp_path / f"rows.{ending}", out, options=Options(batch_rows=batch))
                    scored = pq.read_table(out)
                    p_values[f"{type(scorer).__name__}, {ending}, {batch}"] = scored["p_value"].to_numpy()
                    assert scored["is_anomaly"].to_pylist() == want.is_anomaly.tolist()
    for route, found in p_values.items():
        np.testing.assert_array_equal(found, want.p_value, err_msg=route)
