"""Streamed rows: kinds, statistics, splits, epochs and batches equal those of the files, and can be resumed."""

from __future__ import annotations

import dataclasses
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch
from numpy.typing import NDArray
from pyarrow import parquet

from vaekit.errors import InputError, Interrupted
from vaekit_training.build import build
from vaekit_training.config import make_config
from vaekit_training.data import stream as streaming
from vaekit_training.data.batch import Batches, NetworkRows
from vaekit_training.data.columns import Statistics
from vaekit_training.data.feed import StreamBatches, Windows
from vaekit_training.data.load import load
from vaekit_training.data.rows import Rows
from vaekit_training.data.split import split
from vaekit_training.data.stream import Sample, uniform
from vaekit_training.loop.fit import fit
from vaekit_training.loop.hooks import Hooks
from vaekit_training.network_rows import network_rows
from vaekit_training.sections import DataConfig, LikelihoodConfig

MIXED = LikelihoodConfig(name="mixed")
FILES, ROWS = 5, 400  # rows of a file, in row groups of 150
N = FILES * ROWS


def columns(seed: int = 0) -> dict[str, list[Any]]:
    """Columns of row numbers, numbers, text and 0/1, some cells missing; `odd` marks 5 % of the rows."""
    rng = np.random.default_rng(seed)
    size = rng.exponential(2.0, N) + 0.1
    load = [None if rng.random() < 0.1 else float(v) for v in rng.standard_normal(N)]
    return {
        "row": list(map(float, range(N))),
        "load": load,
        "size": size.tolist(),
        "mode": rng.choice(["slow", "fast", "off"], N).tolist(),
        "on": rng.random(N).round().tolist(),
        "odd": (rng.random(N) < 0.05).tolist(),
    }


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    top = tmp_path_factory.mktemp("stream")
    table = pa.table(columns())
    for i in range(FILES):
        parquet.write_table(table.slice(i * ROWS, ROWS), top / f"part-{i}.parquet", row_group_size=150)
    return top


def data(folder: Path, read: Any = "stream", **more: Any) -> DataConfig:
    settings = {"label": "odd", "missing": "marginalise", "kinds": {"size": "positive"}, **more}
    return DataConfig(source=str(folder), read=read, **settings)


def streamed(folder: Path, seed: int = 0, **more: Any) -> Rows:
    return load(data(folder, **more), MIXED, seed)


def convert(x: NDArray[np.float64]) -> NetworkRows:
    t = torch.from_numpy(x)
    return NetworkRows(t.nan_to_num(), ~t.isnan())


def batches(rows: Rows, size: int = 32, seed: int = 0, buffer: int = 300) -> StreamBatches:
    assert rows.streamed is not None
    return StreamBatches(rows.streamed, convert, size, seed=seed, buffer=buffer)


def training_rows(rows: Rows) -> NDArray[np.float64]:
    """All training rows, in the order of the files."""
    assert rows.streamed is not None
    return np.concatenate([x for group in rows.streamed.groups for x in rows.streamed.training(group)])


def test_streamed_rows_have_the_columns_and_values_of_rows_in_memory(folder: Path) -> None:
    here, there = load(data(folder, "memory"), MIXED), streamed(folder)
    for name in ("columns", "kinds", "levels", "may_be_missing"):
        assert getattr(there, name) == getattr(here, name)
    assert there.kinds == ("real", "real", "positive", "category", "binary")
    order = there.x[:, 0].astype(int)  # so few rows that the samples contain all
    np.testing.assert_array_equal(there.x, here.x[order])
    np.testing.assert_array_equal(there.anomaly, here.anomaly[order])
    assert sorted(order.tolist()) == list(range(N))


def test_splits_have_the_configured_sizes_and_are_disjoint(folder: Path) -> None:
    rows = streamed(folder)
    parts = split(rows, data(folder), 0)
    normal = int((~rows.anomaly).sum())
    for name, share in (("train", 0.6), ("validation", 0.1), ("calibration", 0.2), ("test", 0.1)):
        assert abs(parts.sizes()[name] / normal - share) < 4 * (share * (1 - share) / normal) ** 0.5
    assert rows.anomaly[parts.anomalies].all()
    assert parts.sizes()["anomalies"] == rows.anomaly.sum()
    everything = np.concatenate([parts.train, parts.validation, parts.calibration, parts.test, parts.anomalies])
    assert sorted(everything.tolist()) == list(range(N))


def test_another_seed_gives_another_split_and_the_same_seed_the_same(folder: Path) -> None:
    one, again, other = (set(training_rows(streamed(folder, seed))[:, 0]) for seed in (0, 0, 1))
    assert one == again
    assert len(one & other) < 0.75 * len(one)


def test_a_new_file_does_not_change_the_splits_of_the_others(folder: Path, tmp_path: Path) -> None:
    for path in folder.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    before = set(training_rows(streamed(tmp_path))[:, 0])
    parquet.write_table(pa.table(columns(seed=1)).slice(0, 50), tmp_path / "added.parquet")
    rows = streamed(tmp_path)
    assert rows.streamed is not None
    old = [g for g in rows.streamed.groups if g.file != 0]  # "added" comes first
    assert {row for g in old for x in rows.streamed.training(g) for row in x[:, 0]} == before


def test_statistics_are_those_of_all_training_rows(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streaming, "CHUNK_CELLS", 512)
    rows = streamed(folder)
    found, want = rows.statistics(np.arange(0)), Statistics.of(training_rows(rows), rows.kinds)
    numbers = [d for d, kind in enumerate(rows.kinds) if kind != "category"]  # not of level indices
    for field in dataclasses.fields(Statistics):
        if field.name != "most_missing":
            one, other = (getattr(statistics, field.name)[numbers] for statistics in (found, want))
            np.testing.assert_allclose(one, other, rtol=1e-10)
    assert found.most_missing == want.most_missing


def test_the_samples_are_bounded_and_contain_the_smallest_hashes(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    monkeypatch.setattr(streaming, "SAMPLE_ROWS", 60)
    rows = streamed(folder)
    parts = split(rows, data(folder), 0)
    assert [len(getattr(parts, name)) for name in ("train", "validation", "calibration", "test")] == [60] * 4
    assert parts.sizes()["train"] > 1000
    sample = Sample(500)
    hashes = uniform(7, 0, 10_000)
    for i in range(0, 10_000, 300):
        sample.add(np.arange(i, min(i + 300, 10_000), dtype=np.float64)[:, None], hashes[i : i + 300])
    x = sample.rows()[:, 0]
    assert len(x) == 500
    assert set(x) == set(np.argsort(hashes)[:500])


def test_hashes_of_rows_are_uniform() -> None:
    u = np.concatenate([uniform(key, 0, 20_000) for key in range(5)])
    counts = np.bincount((u * 50).astype(int), minlength=50)
    assert (((counts - 2000) ** 2) / 2000).sum() < 95  # chi-square of 49: p > 1e-4
    assert abs(np.corrcoef(u[:-1], u[1:])[0, 1]) < 0.013
    np.testing.assert_array_equal(uniform(3, 0, 100)[40:], uniform(3, 40, 60))


@pytest.mark.parametrize("buffer", [1, 97, 300, 10_000])
def test_an_epoch_gives_each_training_row_once(folder: Path, buffer: int) -> None:
    rows = streamed(folder)
    assert rows.streamed is not None
    windows = Windows(rows.streamed, buffer, seed=0)
    for _ in range(2):
        network_rows: list[float] = []
        epoch = windows.position()["epoch"]
        while len(network_rows) < rows.streamed.counts["train"]:
            began, x = windows.read()
            assert len(x) <= buffer
            assert began["epoch"] == epoch
            network_rows += x[:, 0].tolist()
        assert sorted(network_rows) == sorted(training_rows(rows)[:, 0])
        windows.begin(epoch + 1)


def test_neighbours_in_the_files_are_mixed(folder: Path) -> None:
    first = batches(streamed(folder), size=200, buffer=800)
    row = next(first).t[:, 0]
    assert len({int(r) // ROWS for r in row}) >= 3
    assert abs(np.corrcoef(row[:-1], row[1:])[0, 1]) < 0.3


def test_batches_have_one_size_and_cross_windows_and_epochs(folder: Path) -> None:
    source = batches(streamed(folder), size=128, buffer=300)
    found = list(islice(source, 30))  # more than three epochs
    assert isinstance(source, Batches)
    assert {len(batch) for batch in found} == {128}
    counts = np.unique(np.concatenate([batch.t[:, 0] for batch in found]), return_counts=True)[1]
    assert counts.max() - counts.min() <= 1


@pytest.mark.parametrize("given", [0, 1, 7, 11, 40])
def test_batches_continue_from_a_saved_position(folder: Path, given: int) -> None:
    whole = list(islice(batches(streamed(folder)), given + 60))
    left = batches(streamed(folder))
    for _ in range(given):
        next(left)
    state = left.state_dict()
    found = batches(streamed(folder))
    next(found)  # its current position does not matter
    found.load_state_dict(state)
    for got, want in zip(islice(found, 60), whole[given:], strict=True):
        assert torch.equal(got.t, want.t)
        assert torch.equal(got.observed, want.observed)
    assert found.state_dict() != state


def test_a_resumed_run_ends_with_the_weights_of_an_uninterrupted_run(folder: Path, tmp_path: Path) -> None:
    tree = {"name": "m", "data": data(folder, shuffle_buffer=250).model_dump(mode="json", exclude_none=True)}
    settings = ["training.steps=60", "training.evaluate_every=25", "likelihood.name=mixed", "network.hidden=[8]"]
    config = make_config(tree, settings)

    def trained(hooks: Hooks) -> dict[str, torch.Tensor]:
        rows = load(config.data, config.likelihood, 0)
        parts = split(rows, config.data, 0)
        vae = build(config, rows, parts.train)
        assert rows.streamed is not None
        source = StreamBatches(rows.streamed, lambda x: network_rows(vae, x, stored=True), 32, seed=0, buffer=250)
        fit(vae, source, network_rows(vae, rows.x[parts.validation]), config, hooks=hooks)
        return dict(vae.state_dict())

    whole = trained(Hooks())
    steps: list[int] = []
    with pytest.raises(Interrupted):
        trained(Hooks(on_step=steps.append, stop=lambda: len(steps) >= 33, checkpoint=tmp_path / "checkpoint.pt"))
    resumed = trained(Hooks(checkpoint=tmp_path / "checkpoint.pt", resume=True))
    assert all(torch.equal(resumed[name], weights) for name, weights in whole.items())


def test_a_saved_position_is_small_and_consists_of_plain_values(folder: Path, tmp_path: Path) -> None:
    source = batches(streamed(folder), buffer=10_000)
    next(source)
    torch.save(source.state_dict(), tmp_path / "state.pt")
    assert torch.load(tmp_path / "state.pt", weights_only=True) == source.state_dict()
    assert (tmp_path / "state.pt").stat().st_size < 4000


def test_the_digest_depends_on_files_and_labels(folder: Path, tmp_path: Path) -> None:
    one = streamed(folder).digest()
    assert one == streamed(folder).digest()
    assert one != streamed(folder, label=None).digest()
    for path in folder.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    assert streamed(tmp_path).digest() == one
    parquet.write_table(pa.table(columns(seed=1)).slice(0, ROWS), tmp_path / "part-0.parquet", row_group_size=150)
    assert streamed(tmp_path).digest() != one


@pytest.mark.parametrize(
    ("table", "more", "said"),
    [
        ({"a": [1.0] * 30, "b": [1.0] * 29 + [np.inf]}, {}, r"part\.parquet: row 29, feature 'b': not finite: inf"),
        ({"a": [1.0] * 30, "b": [1.0] * 29 + [None]}, {}, r"part\.parquet: row 29, feature 'b': missing value"),
        ({"a": [1.0] * 30, "b": ["x"] * 30}, {}, "row 0, feature 'b': not a number: 'x'"),
        ({"a": [1.0] * 10}, {}, "too few rows: 10 normal ones"),
        ({"a": [1.0] * 30}, {"label": "odd"}, "no column 'odd'; there are: a"),
        ({"a": [1.0] * 30, "odd": [0] * 30}, {"label": "odd"}, "no row has a value of data.anomalies"),
        ({"a": [1.0] * 30, "b": [None] * 30}, {"missing": "marginalise"}, "feature 'b': every cell is missing"),
        ({"a": [None] + [1.0] * 30}, {"missing": "marginalise"}, r"part\.parquet: row 0: every cell is missing"),
    ],
)
def test_an_invalid_cell_is_reported_with_file_row_and_feature(
    tmp_path: Path, table: dict[str, Any], more: dict[str, Any], said: str
) -> None:
    parquet.write_table(pa.table(table), tmp_path / "part.parquet", row_group_size=13)
    with pytest.raises(InputError, match=said):
        load(DataConfig(source=str(tmp_path), read="stream", **more))


def test_files_with_other_columns_are_refused(tmp_path: Path) -> None:
    parquet.write_table(pa.table({"a": [1.0], "b": [1.0]}), tmp_path / "0.parquet")
    parquet.write_table(pa.table({"a": [1.0], "b": ["x"]}), tmp_path / "1.parquet")
    with pytest.raises(InputError, match=r"1\.parquet: column 'b' is string, but in the first file it is double"):
        load(DataConfig(source=str(tmp_path), read="stream"))


def test_other_sources_cannot_be_streamed(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("a\n1\n")
    absent = (tmp_path / "none.parquet", "no such file or folder; ")
    for source, what in ((tmp_path, ""), (tmp_path / "a.csv", ""), absent):
        said = f"^data '{source}': {what}data.read = 'stream' takes a .parquet file or a folder of them$"
        with pytest.raises(InputError, match=said):
            load(DataConfig(source=str(source), read="stream"))


def test_a_truncated_file_is_named(folder: Path, tmp_path: Path) -> None:
    content = (folder / "part-0.parquet").read_bytes()
    (tmp_path / "cut.parquet").write_bytes(content[: len(content) // 2])
    with pytest.raises(InputError, match=r"cut\.parquet: "):
        load(DataConfig(source=str(tmp_path), read="stream"))
