"""The config that is inferred from data."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import parquet

from vaekit_training.data import preview
from vaekit_training.infer import infer
from vaekit_training.sections import DataConfig


def inferred(tmp_path: Path, text: str, asked: dict[str, Any] | None = None) -> tuple[dict[str, Any], str]:
    (tmp_path / "Pump 7.csv").write_text(text)
    tree, remarks = infer(str(tmp_path / "Pump 7.csv"), asked)
    assert tree.pop("name") == "pump-7"
    assert tree["data"].pop("source").endswith("Pump 7.csv")
    return tree, "\n".join(remarks)


def test_inference_uses_mixed_for_text_and_binary_columns(tmp_path: Path) -> None:
    tree, said = inferred(tmp_path, "when,load,on,open\nmonday,1.5,0,true\ntuesday,2,1,false\n")
    assert tree == {"data": {}, "likelihood": {"name": "mixed"}, "prior": {"name": "kernel"}}
    assert "category: when; binary: on, open; the prior is a kernel density" in said


@pytest.mark.parametrize("asked", [{"training": {"steps": 9}}, {"data": {"kinds": {"load": "count"}}}])
def test_inference_leaves_the_prior_to_networks_that_are_asked_for(tmp_path: Path, asked: dict[str, Any]) -> None:
    tree, said = inferred(tmp_path, "when,load\nmonday,1\ntuesday,2\n", asked)
    assert tree == {"data": {}, "likelihood": {"name": "mixed"}}
    assert "kernel" not in said


def test_inference_leaves_out_names_dates_and_empty_columns_with_a_remark(tmp_path: Path) -> None:
    lines = [f"pump {i},2020-01-{i + 1:02d},{i / 2},\n" for i in range(24)]
    tree, said = inferred(tmp_path, "who,when,load,note\n" + "".join(lines))
    assert tree == {"data": {"exclude": ["who", "when", "note"]}, "likelihood": {"name": "auto"}}
    for line in ("(dates): when", "(no values): note", "1000 levels): who"):
        assert line in said


def test_inference_marginalises_missing_cells_with_a_remark(tmp_path: Path) -> None:
    tree, said = inferred(tmp_path, "a,b\n1,2\n,3\n")
    assert tree == {"data": {"missing": "marginalise"}, "likelihood": {"name": "auto"}}
    assert "missing cells are left out of the ELBO (data.missing = 'marginalise'): a" in said


def test_inference_takes_0_and_1_as_numbers(tmp_path: Path) -> None:
    for bits in ("1,0\n0,1\n", "1.5,0\n2,1\n", "1.5,7\n2,8\n"):  # they may become 2 later
        assert inferred(tmp_path, f"a,b\n{bits}")[0] == {"data": {}, "likelihood": {"name": "auto"}}


def test_inference_ignores_label_split_and_excluded_columns(tmp_path: Path) -> None:
    text = "a,odd,who,note\n1.5,1,x,\n2.5,0,,1\n3.5,0,y,2\n"
    data = {"label": "odd", "split": "group:who", "exclude": ["note"]}
    tree, said = inferred(tmp_path, text, {"data": data})
    assert tree == {"data": {"exclude": ["note"]}, "likelihood": {"name": "auto"}}
    assert said == "columns of numbers: the default recipe, likelihood.name = 'auto'"
    assert "all rows are treated as normal" in inferred(tmp_path, text)[1]


def test_inference_adds_its_own_exclusions_to_the_given_ones(tmp_path: Path) -> None:
    tree, said = inferred(tmp_path, "a,b,when\n1.5,x,2020-01-01\n2,y,2020-01-02\n", {"data": {"exclude": ["b"]}})
    assert tree == {"data": {"exclude": ["b", "when"]}, "likelihood": {"name": "auto"}}
    assert "mixed" not in said


def test_inference_does_not_override_given_settings(tmp_path: Path) -> None:
    asked = {"data": {"missing": "refuse"}, "likelihood": {"name": "gaussian"}}
    tree, said = inferred(tmp_path, "a,b\n1,x\n,y\n", asked)
    assert tree == {"data": {}}
    assert "marginalise" not in said
    assert "likelihood" not in said


def test_inference_for_streamed_rows_reads_footers_and_one_chunk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gap = [1.5, 2.5, 3.5, 4.5] * 19 + [None] * 4
    columns = {"a": gap, "late": [None] * 70 + [1.0] * 10, "none": pa.nulls(80, pa.float64()), "t": ["x", "y"] * 40}
    parquet.write_table(pa.table(columns), tmp_path / "0.parquet", row_group_size=70)
    (tmp_path / "1.parquet").write_bytes((tmp_path / "0.parquet").read_bytes())
    monkeypatch.setattr(preview, "MOST_CELLS", 256)
    monkeypatch.setattr(preview, "read", None)  # would read everything at once
    tree, remarks = infer(str(tmp_path), {"data": {"read": "stream"}})
    assert tree["data"]["exclude"] == ["none"]
    assert tree["data"]["missing"] == "marginalise"
    assert tree["likelihood"] == {"name": "mixed"}
    said = "\n".join(remarks)
    assert "inferred from the first 64 of 160 rows" in said
    assert "(data.missing = 'marginalise'): a, late" in said
    assert "category: t" in said


def test_inference_for_mapped_rows_copies_only_the_first_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    x = np.random.default_rng(0).standard_normal((40, 2))
    x[39, 1] = np.nan
    np.save(tmp_path / "x.npy", x)
    monkeypatch.setattr(preview, "MOST_CELLS", 20)
    monkeypatch.setattr(preview, "read", None)
    found = preview.preview(DataConfig(source=str(tmp_path / "x.npy"), read="map"))
    assert {name: len(values) for name, values in found.columns.items()} == {"x0": 10, "x1": 10}
    tree, remarks = infer(str(tmp_path / "x.npy"), {"data": {"read": "map"}})
    assert tree["data"]["missing"] == "marginalise"
    assert "first 10 of 40 rows" in remarks[0]


@pytest.mark.parametrize(
    ("values", "channels", "likelihood", "said"),
    [
        ((0, 100), 1, "gaussian", "grey: the likelihood is gaussian, of pixel values 0 to 255"),
        ((0, 255), 1, "bernoulli", "black and white: the likelihood is bernoulli, of pixel values 0 and 255"),
        ((0, 100), 3, "gaussian", "colour: the likelihood is gaussian, of pixel values 0 to 255"),
        ((0, 100), 4, "gaussian", "4 channels: the likelihood is gaussian, of pixel values 0 to 255"),
    ],
)
def test_inference_keeps_grey_and_coloured_values(
    values: tuple[int, int], channels: int, likelihood: str, said: str, tmp_path: Path
) -> None:
    x = np.array(values, dtype=np.uint8).reshape(2, 1, 1, 1)
    np.save(tmp_path / "x.npy", np.broadcast_to(x, (2, 3, 5, channels)))
    tree, remarks = infer(str(tmp_path / "x.npy"))
    scale = {"scale": 0.3} if likelihood == "gaussian" else {}
    assert tree["likelihood"] == {"name": likelihood, **scale}
    assert ("prior" in tree) == (likelihood == "gaussian")
    assert remarks == [f"2 images of 5 x 3 pixels (width x height), {said}"]


AGGREGATE = {"name": "aggregate", "components": 1000}


@pytest.mark.parametrize(
    ("asked", "network", "prior", "scale"),
    [
        ({}, {"latent_dim": 32}, AGGREGATE, 0.3),
        ({"training": {"steps": 9}, "network": {"latent_dim": 4}}, None, AGGREGATE, 0.3),
        ({"network": {"name": "conv"}, "likelihood": {"scale": "network"}}, {"latent_dim": 32}, AGGREGATE, None),
        ({"prior": {"name": "normal"}}, None, None, None),
        ({"objective": {"free_bits": 0.1}}, None, None, None),
        ({"training": {"cuda_graphs": True}}, None, None, None),
        ({"likelihood": {"name": "gaussian"}}, None, None, None),
    ],
)
def test_images_get_their_settings_unless_others_are_asked_for(
    asked: dict[str, Any],
    network: dict[str, Any] | None,
    prior: dict[str, Any] | None,
    scale: float | None,
    tmp_path: Path,
) -> None:
    np.save(tmp_path / "x.npy", np.full((2, 3, 5), 7, dtype=np.uint8))
    tree, _ = infer(str(tmp_path / "x.npy"), asked)
    assert tree.get("network") == network
    assert tree.get("prior") == prior
    assert tree.get("likelihood", {}).get("scale") == scale
