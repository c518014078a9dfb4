"""Rows from every kind of source, inferred configs, and errors."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Literal

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image
from pyarrow import csv, parquet

from vaekit import Detector, Model
from vaekit.errors import InputError
from vaekit_training.config import make_config
from vaekit_training.data import sources
from vaekit_training.data.load import Rows, load, of_array, of_columns, read
from vaekit_training.infer import infer
from vaekit_training.publish import publish_run
from vaekit_training.run import run
from vaekit_training.sections import DataConfig, LikelihoodConfig

X = np.random.default_rng(0).standard_normal((12, 3))
LABEL = np.arange(12) % 4 == 0


def table(tmp_path: Path, kind: str) -> Path:
    path = tmp_path / f"rows.{kind}"
    columns = {"a": X[:, 0], "b": X[:, 1], "c": X[:, 2], "odd": LABEL.astype(np.int64)}
    if kind == "csv":
        csv.write_csv(pa.table(columns), path)
    elif kind == "parquet":
        parquet.write_table(pa.table(columns), path)
    elif kind == "npz":
        np.savez(path, X=X, odd=LABEL.astype(int))
    return path


@pytest.mark.parametrize("kind", ["csv", "parquet", "npz"])
def test_every_file_format_gives_the_same_rows(tmp_path: Path, kind: str) -> None:
    rows = load(DataConfig(source=str(table(tmp_path, kind)), label="odd"))
    np.testing.assert_allclose(rows.x, X)
    assert rows.anomaly.tolist() == LABEL.tolist()
    assert len(rows.columns) == 3


def test_npy_columns_are_numbered(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", X.astype(np.float32))
    rows = load(DataConfig(source=str(tmp_path / "x.npy")))
    assert rows.columns == ("x0", "x1", "x2")
    assert rows.x.dtype == np.float64


def test_a_folder_of_parquet_files_is_one_table(tmp_path: Path) -> None:
    for i in range(2):
        parquet.write_table(pa.table({"a": X[:, 0]}), tmp_path / f"{i}.parquet")
    assert len(load(DataConfig(source=str(tmp_path))).x) == 24


def test_images_are_read_from_npy_npz_and_folders(tmp_path: Path) -> None:
    images = np.random.default_rng(0).integers(0, 256, (4, 5, 6), dtype=np.uint8)
    np.save(tmp_path / "p.npy", images)
    np.savez(tmp_path / "p.npz", X=images, odd=np.array([0, 0, 1, 0]))
    folder = tmp_path / "folder"
    folder.mkdir()
    for i, image in enumerate(images):
        Image.fromarray(image).save(folder / f"{i}.png")
    for name in ("p.npy", "p.npz", "folder"):
        rows = load(DataConfig(source=str(tmp_path / name), label="odd" if name == "p.npz" else None))
        assert (rows.x == images[..., None]).all()
        assert rows.anomaly.sum() == (name == "p.npz")
        assert (rows.ids is None) == (name != "folder")
    assert np.array_equal(load(DataConfig(source=str(folder))).ids, ["0.png", "1.png", "2.png", "3.png"])


def test_a_mix_of_grey_and_colour_images_becomes_colour(tmp_path: Path) -> None:
    Image.new("L", (3, 2), 7).save(tmp_path / "a.png")
    Image.new("RGB", (3, 2), (1, 2, 3)).save(tmp_path / "b.png")
    rows = load(DataConfig(source=str(tmp_path)))
    assert rows.x.shape == (2, 2, 3, 3)
    assert rows.x[0, 0, 0].tolist() == [7, 7, 7]


def test_the_photographs_are_cut_into_adjacent_tiles() -> None:
    from sklearn.datasets import load_sample_images

    tiles = load(DataConfig(source="photographs")).x
    assert tiles.shape == (520, 32, 32, 3)
    first, second = load_sample_images().images
    np.testing.assert_array_equal(tiles[21], first[32:64, 32:64])  # 20 tiles per line
    np.testing.assert_array_equal(tiles[-1], second[384:416, 608:640])


def test_built_in_datasets_have_the_documented_sizes() -> None:
    tumours, digits = load(DataConfig(source="breast-cancer", label="malignant")), load(DataConfig(source="digits"))
    assert tumours.x.shape == (569, 30)
    assert tumours.anomaly.sum() == 212
    assert digits.x.shape == (1797, 8, 8, 1)
    assert digits.x.max() == 255


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a,b\n1,2\n3,\n", "row 1, feature 'b': missing value"),
        ("a,b\n1,2\n3,inf\n", "row 1, feature 'b': not finite: inf"),
        ("a,b\n1,2\n3,n/a!\n", "bad.csv': row 1, feature 'b': not a number: 'n/a!'"),
        ("a,b\n1,2\n3\n", "bad.csv': row 1: 1 cells, but the header has 2"),
    ],
)
def test_an_invalid_cell_is_named(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "bad.csv").write_text(text)
    with pytest.raises(InputError, match=said.replace("(", r"\(")):
        load(DataConfig(source=str(tmp_path / "bad.csv")))


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ({"label": "none"}, "no column 'none'; there are: a, b, c, odd"),
        ({"exclude": ("zz",)}, "no column 'zz'"),
        ({"split": "time:zz"}, "no column 'zz'"),
        ({"label": "odd", "anomalies": ("yes",)}, "no row has a value of data.anomalies"),
        ({"exclude": ("a", "b", "c", "odd")}, "no columns to model"),
    ],
)
def test_unknown_columns_are_named(tmp_path: Path, config: dict[str, object], said: str) -> None:
    with pytest.raises(InputError, match=said):
        load(DataConfig(source=str(table(tmp_path, "csv")), **config))  # type: ignore[arg-type]  # a table of cases


@pytest.mark.parametrize("name", ["none.csv", "rows.xls", "folder"])
def test_an_unknown_source_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / "rows.xls").write_text("")
    (tmp_path / "folder").mkdir()
    with pytest.raises(InputError):
        load(DataConfig(source=str(tmp_path / name)))


def test_images_of_different_sizes_are_refused(tmp_path: Path) -> None:
    Image.new("L", (2, 2)).save(tmp_path / "a.png")
    for name in "bcd":
        Image.new("L", (3, 2)).save(tmp_path / f"{name}.png")
    said = r"a\.png: 2 x 2 pixels, but 3 of 4 images have 3 x 2 \(width x height\); .*--resize 3x2 .* move these out"
    with pytest.raises(InputError, match=said):
        load(DataConfig(source=str(tmp_path)))
    for i in range(6):
        Image.new("L", (9, i + 1)).save(tmp_path / f"other{i}.png")
    with pytest.raises(
        InputError, match=r"^7 have another size: .*a\.png: 2 x 2 .*other3\.png: 9 x 4 pixels; \.\.\., but 3 "
    ):
        load(DataConfig(source=str(tmp_path)))


def test_all_files_that_are_not_images_are_listed(tmp_path: Path) -> None:
    for name in ("a.png", "b.png"):
        (tmp_path / name).write_bytes(b"no image")
    Image.new("L", (2, 2)).save(tmp_path / "c.png")
    with pytest.raises(
        InputError, match=r"^2 of 3 images cannot be read: .*a\.png: .*; .*b\.png: .*; move them out of"
    ):
        load(DataConfig(source=str(tmp_path)))


def test_an_image_in_colour_among_grey_ones_is_named(tmp_path: Path) -> None:
    for name in "abc":
        (Image.new("RGB", (2, 2), (1, 0, 0)) if name == "b" else Image.new("L", (2, 2))).save(tmp_path / f"{name}.png")
    (said,) = read(str(tmp_path)).remarks
    assert said.startswith("1 of 3 images is in colour (b.png): all get three channels")


def test_a_file_that_is_not_an_image_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"no image")
    with pytest.raises(InputError, match=r"a\.png: not a readable PNG or JPEG file; move it out of the folder$"):
        load(DataConfig(source=str(tmp_path)))


def test_labels_of_any_type_are_compared_as_values(tmp_path: Path) -> None:
    path = tmp_path / "l.csv"
    path.write_text("a,l\n1,normal\n2,attack\n")
    assert load(DataConfig(source=str(path), label="l", anomalies=("attack",))).anomaly.tolist() == [False, True]
    path.write_text("a,l\n1,0.0\n2,1.0\n")
    assert load(DataConfig(source=str(path), label="l")).anomaly.tolist() == [False, True]


def test_the_digest_depends_on_every_cell() -> None:
    rows = Rows(X, ("a", "b", "c"), LABEL)
    other = X.copy()
    other[3, 1] = np.nextafter(other[3, 1], 9)
    assert rows.digest() == Rows(X.copy(), ("a", "b", "c"), LABEL).digest()
    assert rows.digest() != Rows(other, ("a", "b", "c"), LABEL).digest()


def test_an_unreadable_file_gives_a_one_line_message(tmp_path: Path) -> None:
    (tmp_path / "empty.npy").write_bytes(b"")
    (tmp_path / "cut.npz").write_bytes(b"PK\x03\x04 cut")
    (tmp_path / "header.csv").write_text("a,b\n")
    (tmp_path / "twice.csv").write_text("a,a\n1,2\n")
    np.save(tmp_path / "none.npy", np.zeros((30, 0, 0), dtype=np.uint8))
    np.save(tmp_path / "two.npy", np.zeros((30, 2, 2, 2), dtype=np.uint8))
    for name, said in {
        "empty.npy": "EOF|No data",
        "cut.npz": "zip",
        "header.csv": "no rows",
        "twice.csv": "a",
        "none.npy": "images of shape",
        "two.npy": "1, 3 or 4 channels",
    }.items():
        with pytest.raises(InputError, match=said):
            load(DataConfig(source=str(tmp_path / name)))


@pytest.mark.parametrize("folder", ["2020/05", "site=north/shift=1"])
def test_parquet_files_in_subfolders_are_found_and_keys_become_columns(tmp_path: Path, folder: str) -> None:
    top = tmp_path / "run=7"  # above the source, so not a key of its rows
    for name in (folder, ".hidden", "_temporary"):
        (top / name).mkdir(parents=True)
        parquet.write_table(pa.table({"a": X[:, 0]}), top / name / "0.parquet")
    (top / "README").write_text("no parquet")
    table = sources.read(str(top)).columns
    assert len(table["a"]) == 12
    assert list(table) == (["a", "site", "shift"] if "=" in folder else ["a"])


def test_a_csv_that_is_not_utf_8_is_named_with_its_column(tmp_path: Path) -> None:
    (tmp_path / "old.csv").write_bytes("a,ort\n1,Köln\n2,Bonn\n".encode("latin-1"))
    with pytest.raises(InputError, match=r"old\.csv': row 0, feature 'ort': not UTF-8 text"):
        infer(str(tmp_path / "old.csv"))


def test_a_cell_of_an_unknown_type_is_named(tmp_path: Path) -> None:
    when = np.array([[1.0, 2.0], [3.0, datetime(2020, 1, 1)]], dtype=object)
    with pytest.raises(InputError, match=r"row 1, feature 'x1': a cell of type datetime"):
        of_array(when)
    np.save(tmp_path / "c.npy", np.ones((3, 2), dtype=np.complex64))
    with pytest.raises(InputError, match=r"row 0, feature 'x0': a cell of type complex"):
        load(DataConfig(source=str(tmp_path / "c.npy")))
    parquet.write_table(pa.table({"a": [1.5, 2.5], "l": [[1, 2], [3]]}), tmp_path / "l.parquet")
    with pytest.raises(InputError, match=r"row 0, feature 'l': a cell of type ndarray"):
        load(DataConfig(source=str(tmp_path / "l.parquet")))
    assert infer(str(tmp_path / "l.parquet"))[0]["data"]["exclude"] == ["l"]


@pytest.mark.parametrize("read", ["memory", "stream"])
def test_a_level_of_labelled_anomalies_alone_is_unseen(tmp_path: Path, read: Literal["memory", "stream"]) -> None:
    rng, path = np.random.default_rng(0), tmp_path / "rows.parquet"
    odd = np.arange(300) % 10 == 0
    mode = np.where(odd, rng.choice(["fast", "burnt", "askew"], 300), rng.choice(["fast", "off"], 300))
    mode[1] = "slow"  # of one normal row
    parquet.write_table(pa.table({"load": rng.standard_normal(300), "mode": mode, "odd": odd}), path)
    data = DataConfig(source=str(path), label="odd", read=read)
    rows = load(data, LikelihoodConfig(name="mixed"))
    assert rows.levels[1] == ("fast", "off", "slow")
    (anomalies,) = [rows.x[rows.anomaly, 1].tolist()]
    assert sorted(anomalies) == sorted({"fast": 0.0}.get(one, 3.0) for one in mode[odd])
    assert set(rows.x[~rows.anomaly, 1]) == {0.0, 1.0, 2.0}
    trained = run(
        make_config(
            {"name": "modes", "data": data.model_dump(), "likelihood": {"name": "mixed"}},
            ["training.steps=20", "network.hidden=[4]", "network.latent_dim=1"],
        ),
        device="cpu",
    )
    publish_run(trained, tmp_path / "models")
    with Model.load(tmp_path / "models" / "modes", device="cpu") as model:
        assert model.spec.columns[1].levels == ("fast", "off", "slow")
        assert model.manifest.metrics["auroc"].value > 0.75
        assert Detector.of(model, alpha=0.1).predict([[0.0, "burnt"]]).tolist() == [-1]
    given = {"load": parquet.read_table(path)["load"].to_numpy(), "mode": mode.astype(object)}
    in_python = of_columns(given, odd, config=DataConfig(source="memory"), likelihood=LikelihoodConfig(name="mixed"))
    assert in_python.levels == rows.levels


@pytest.mark.parametrize("name", ["digits", "breast-cancer"])
def test_a_folder_with_the_name_of_a_built_in_dataset_is_not_ignored(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert load(DataConfig(source=name)).x.size > 0
    image = np.zeros((4, 4), dtype=np.uint8)
    (tmp_path / name).mkdir()
    Image.fromarray(image).save(tmp_path / name / "0.png")
    with pytest.raises(
        InputError, match=f"{name!r}: a built-in dataset, and also a folder or file .* write './{name}'"
    ):
        load(DataConfig(source=name))
    with pytest.raises(InputError, match="a built-in dataset, and also"):
        sources.beside(name, tmp_path)
    assert load(DataConfig(source=f"./{name}")).x.shape[1:] == (4, 4, 1)
