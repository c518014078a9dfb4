"""Folders of images at every command: train, score, explain, calibrate and evaluate."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest
from PIL import Image
from typer.testing import CliRunner, Result

from tests.conftest import once_per_run
from vaekit import Model
from vaekit.bundle import ImageSpec
from vaekit.cli import app
from vaekit.errors import InputError
from vaekit.scoring import evaluate_file, explain_row, publish_calibration, score_file, score_folder
from vaekit.scoring.batch.options import Options
from vaekit.storage.paths import storage_path
from vaekit_training.data.sources import read

SIDE = 8
SETTINGS = ["training.steps=40", "network.hidden=[16]", "network.latent_dim=2"]
SKIPPED = (
    "skipped 4 files: 2 in names that start with . or _ (._a.png, ...); 2 not .png, .jpg, .jpeg (good/Thumbs.db, ...)"
)


def image(seed: int, *, broken: bool = False, side: int = SIDE, colour: bool = True) -> Image.Image:
    rng = np.random.default_rng(seed)
    x = 120 + 60 * np.sin(np.linspace(0, 3, side))[:, None] + 8 * rng.normal(size=(side, side)) + 90 * broken
    grey = np.clip(x, 0, 255).astype(np.uint8)
    return Image.fromarray(np.stack([grey, grey // 2, 255 - grey], -1) if colour else grey)


def write(folder: Path) -> None:
    """110 good images and 8 broken ones in subfolders, and files that are to be skipped."""
    for name in ("good", "broken", "good/.ipynb_checkpoints"):
        (folder / name).mkdir(parents=True)
    for i in range(110):
        image(i).save(folder / "good" / f"{i:03}.png")
    for i in range(8):
        image(100 + i, broken=True).save(folder / "broken" / f"{i}.jpg")
    image(0).save(folder / "good" / ".ipynb_checkpoints" / "000.png")
    image(0).save(folder / "good" / "x.bmp")
    (folder / "good" / "Thumbs.db").write_bytes(b"x")
    (folder / "._a.png").write_bytes(b"\0\5\x16\7Mac OS X")


def vae(*words: str | Path) -> Result:
    done = CliRunner().invoke(app, list(map(str, words)))
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    return done


def trained(at: Path) -> Path:
    write(at / "images")
    options = [f"--set={one}" for one in SETTINGS]
    done = vae(
        "train", at / "images", "--label-folder", "--anomaly=broken", *options, f"--models={at / 'models'}",
        f"--run={at / 'run'}",
    )  # fmt: skip
    assert done.exit_code == 0, done.stderr
    (at / "said.txt").write_text(" ".join(done.stderr.split()))
    return at


@pytest.fixture(scope="module")
def plant(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return once_per_run(tmp_path_factory, "plant-images", trained)


def test_training_says_what_it_skipped_and_keeps_anomalies_out(plant: Path) -> None:
    said = (plant / "said.txt").read_text()
    assert SKIPPED in said
    assert "118 images of 8 x 8 pixels (width x height), colour: the likelihood is gaussian" in said
    manifest = json.loads((plant / "models" / "images" / "1" / "manifest.json").read_bytes())
    assert manifest["provenance"]["rows"]["anomalies"] == 8
    assert manifest["likelihood"]["name"] == "gaussian"
    assert manifest["input"]["channels"] == 3
    assert "resize" not in manifest["input"]


def test_a_folder_is_scored_file_by_file(plant: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.csv"
    done = vae(
        "score", "images", plant / "images", out, f"--models={plant / 'models'}", f"--summary={tmp_path / 's.json'}"
    )
    assert SKIPPED in done.stdout
    assert json.loads((tmp_path / "s.json").read_bytes())["remarks"] == [SKIPPED]
    table = pyarrow.csv.read_csv(out).to_pydict()
    assert table["row"] == list(range(118))
    assert table["file"] == [*(f"broken/{i}.jpg" for i in range(8)), *(f"good/{i:03}.png" for i in range(110))]
    assert table["folder"] == ["broken"] * 8 + ["good"] * 110
    pixels = np.stack([np.asarray(Image.open(plant / "images" / name)) for name in table["file"]])
    with Model.load(plant / "models" / "images", device="cpu") as model:
        np.testing.assert_allclose(table["elbo"], model.bound(pixels).elbo, rtol=1e-5)
    assert sum(table["is_anomaly"][:8]) == 8


@pytest.mark.parametrize("name", ["good/007.png", "broken/3.jpg"])
def test_one_file_is_an_input(plant: Path, name: str, tmp_path: Path) -> None:
    out = tmp_path / "one.csv"
    assert vae("score", "images", plant / "images" / name, out, f"--models={plant / 'models'}").exit_code == 0
    assert pyarrow.csv.read_csv(out)["file"].to_pylist() == [Path(name).name]


def test_damaged_exif_is_ignored_without_a_warning(plant: Path, tmp_path: Path) -> None:
    damaged, out = tmp_path / "damaged.jpg", tmp_path / "one.csv"
    image = Image.open(plant / "images" / "broken" / "3.jpg")
    image.save(damaged, exif=b"Exif\0\0MM\0*\0\0\0\x08\0\x05")
    command = [sys.executable, "-c", "from vaekit.cli import main; main()", "score", "images", damaged, out]
    done = subprocess.run([*command, f"--models={plant / 'models'}"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "Warning" not in done.stderr
    assert pyarrow.csv.read_csv(out).num_rows == 1


def test_every_other_command_takes_the_folder(plant: Path, tmp_path: Path) -> None:
    models = f"--models={plant / 'models'}"
    done = vae("explain", "images", plant / "images", "--row=9", f"--out={tmp_path / 'e.png'}", models)
    assert (done.exit_code, SKIPPED in done.stderr) == (0, True)
    done = vae(
        "evaluate", "images", plant / "images", "-k", "1", "--label-folder", "--anomaly=broken", "--json", models
    )
    tree = json.loads(done.stdout)
    assert tree["rows"] == {"normal": 110, "anomalies": 8}
    assert tree["detection"]["score"]["auroc"]["value"] > 0.9
    shown = vae("evaluate", "images", plant / "images", "-k", "1", "--label-folder", "--anomaly=broken", models).stdout
    assert shown.startswith("AUROC ")
    assert shown.index("ranked by score") < shown.index("mean over rows")
    assert SKIPPED in done.stderr


def test_a_calibration_leaves_broken_ones_out(plant: Path, tmp_path: Path) -> None:
    shutil.copytree(plant / "models", tmp_path / "models")
    shutil.copytree(plant / "images", tmp_path / "new")
    done = vae(
        "calibrate", "images", tmp_path / "new", "--label-folder", "--anomaly=broken", f"--models={tmp_path / 'models'}"
    )
    assert "images@2: calibrated on 110 rows" in done.stdout
    assert SKIPPED in done.stderr


def test_one_image_is_explained_as_one_row(plant: Path, tmp_path: Path) -> None:
    models, out = f"--models={plant / 'models'}", tmp_path / "explained.png"
    words = ("explain", "images", plant / "images" / "broken" / "3.jpg", models)
    assert vae(*words, f"--out={out}").exit_code == 0
    assert out.stat().st_size > 1000
    tree = json.loads(vae(*words, "--json").stdout)
    assert [(len(row["cells"]), row["id"]) for row in tree["rows"]] == [(8, "3.jpg")]
    said = vae("explain", "images", plant / "images", "--row=9", models).stdout
    assert "row 9 (file " in said
    assert "pixel (row, column, channel), counted from 0 at the top left" in said


def test_figures_of_several_images_have_the_names_of_their_files(plant: Path, tmp_path: Path) -> None:
    folder, out = tmp_path / "new", tmp_path / "out"
    folder.mkdir()
    for name in ("a b", "\u00fc(1)"):
        shutil.copy(plant / "images" / "broken" / "0.jpg", folder / f"{name}.jpg")
    assert vae("explain", "images", folder, f"--out={out}", f"--models={plant / 'models'}").exit_code == 0
    assert sorted(path.name for path in out.iterdir()) == ["row-0-a-b.png", "row-1-1.png"]


def test_invalid_images_are_left_out_unless_they_were_asked_for(plant: Path, tmp_path: Path) -> None:
    folder, models = tmp_path / "new", f"--models={plant / 'models'}"
    folder.mkdir()
    for i in range(4):
        image(0, side=SIDE * 2).save(folder / f"big{i}.png")
    fault = "row 0, file 'big0.png': image of 16 x 16 pixels"
    assert fault in vae_error("explain", "images", folder, models)
    shutil.copytree(plant / "images" / "broken", folder / "other")
    done = vae("explain", "images", folder, "--top=9", "--json", models)
    assert sorted(row["row"] for row in json.loads(done.stdout)["rows"]) == list(range(4, 12))
    (said,) = [line for line in done.stderr.splitlines() if "left out" in line]
    assert said.startswith(f"left out 4 of 12 images: {fault}")
    assert "'big2.png'" in said
    assert said.endswith("; and 1 more")
    assert "left out" not in vae("explain", "images", folder, "--row=5", models).stderr
    for asked in ("--row=2", "--rows=5,2"):
        assert "row 2, file 'big2.png': image of 16 x 16" in vae_error("explain", "images", folder, asked, models)
    with Model.load(plant / "models" / "images", device="cpu") as model:
        assert explain_row(model, folder, 5, top=1).id == "other/1.jpg"
        with pytest.raises(InputError, match=r"^row 2, file 'big2.png': image of 16 x 16"):
            explain_row(model, folder, 2, top=1)


def test_a_label_column_of_images_is_refused_with_the_option_for_subfolders(plant: Path, tmp_path: Path) -> None:
    words = ("evaluate", "images", plant / "images", "--label=fault", f"--models={plant / 'models'}")
    assert vae_error(*words).endswith("--label-folder takes the first subfolder of an image as its label")
    said = vae_error("train", plant / "images", "--label=fault", f"--run={tmp_path / 'run'}")
    assert "data.label = 'fault': images have no such column" in said
    assert "--label-folder" in said


def test_labels_of_images_without_subfolders_are_refused(plant: Path, tmp_path: Path) -> None:
    unknown = pytest.raises(InputError, match="no column 'folder'; there are: row, file")
    with Model.load(plant / "models" / "images", device="cpu") as model, unknown:
        evaluate_file(model, plant / "images" / "good", label="folder", anomalies=["broken"])
    flat = vae_error("train", plant / "images" / "broken", "--label-folder", "--anomaly=x", f"--run={tmp_path / 'run'}")
    assert "data.label = 'folder' is the subfolder of an image, and there are no subfolders" in flat
    both = vae_error(
        "evaluate", "images", plant / "images", "--label-folder", "--label=x", f"--models={plant / 'models'}"
    )
    assert "leave out --label" in both
    none = vae_error("train", plant / "images", "--label-folder", f"--run={tmp_path / 'run'}")
    assert "seen: broken, good; name some with data.anomalies (vae train --anomaly)" in none


def vae_error(*words: str | Path) -> str:
    with pytest.raises((InputError, ValueError)) as caught:
        vae(*words)
    return str(caught.value)


def test_subfolders_without_labels_are_remarked_on(plant: Path) -> None:
    from vaekit_training.infer import infer

    _, remarks = infer(str(plant / "images"))
    assert any("subfolders broken, good, and all are taken as normal" in remark for remark in remarks)
    _, remarks = infer(str(plant / "images"), {"data": {"label": "folder", "anomalies": ["broken"]}})
    assert not any("subfolders" in remark for remark in remarks)


@pytest.fixture
def wrong(tmp_path: Path) -> Path:
    """Five images, of which the second is of another size, the third no image, and the fifth grey."""
    folder = tmp_path / "wrong"
    folder.mkdir()
    for i, side in enumerate((SIDE, SIDE + 1, SIDE, SIDE)):
        image(i, side=side).save(folder / f"{i}.png")
    (folder / "2.png").write_bytes(b"no image")
    image(4, colour=False).save(folder / "4.png")
    return folder


SPEC = ImageSpec(height=SIDE, width=SIDE, channels=3)
SIZE = "image of 9 x 9 pixels, expected 8 x 8 (width x height)"


def test_the_first_image_that_cannot_be_read_ends_the_run_by_name(
    image_scorer: Any, wrong: Path, tmp_path: Path
) -> None:
    image_scorer.spec = SPEC
    with pytest.raises(InputError) as caught:
        score_file(image_scorer, wrong, tmp_path / "out.csv")
    assert str(caught.value) == f"row 1, file '1.png': {SIZE}"


@pytest.mark.parametrize("to", [score_file, score_folder])
def test_or_goes_into_the_quarantine(image_scorer: Any, wrong: Path, tmp_path: Path, to: Callable[..., Any]) -> None:
    image_scorer.spec = SPEC
    out = tmp_path / ("out.parquet" if to is score_file else "out")
    done = to(image_scorer, wrong, out, options=Options(quarantine=storage_path(tmp_path / "bad.csv"), part_rows=2))
    assert (done.rows, done.quarantined) == (3, 2)
    table = pq.read_table(out, columns=["row", "file"]).to_pydict()
    assert table == {"row": [0, 3, 4], "file": ["0.png", "3.png", "4.png"]}
    bad = pyarrow.csv.read_csv(tmp_path / "bad.csv").to_pydict()
    assert bad["bad_row"] == [1, 2]
    assert bad["bad_reason"] == [SIZE, "not a readable PNG or JPEG file"]
    assert bad["file"] == ["1.png", "2.png"]


def test_parts_of_a_folder_are_resumed_and_changes_are_noticed(image_scorer: Any, plant: Path, tmp_path: Path) -> None:
    import shutil

    image_scorer.spec = SPEC
    images = tmp_path / "images"
    shutil.copytree(plant / "images", images)
    options = Options(part_rows=30)
    done = score_folder(image_scorer, images, tmp_path / "out", options=options)
    assert done.rows == 118
    assert len(list((tmp_path / "out").glob("*.parquet"))) == 4
    (tmp_path / "out" / "part-00001.parquet").unlink()
    again = score_folder(image_scorer, images, tmp_path / "out", options=options, resume=True)
    assert (again.before.parts, again.rows) == (3, 118)
    image(500).save(images / "good" / "020.png")
    with pytest.raises(InputError, match=r"cannot be resumed: broken/0.jpg to good/021.png has changed"):
        score_folder(image_scorer, images, tmp_path / "out", options=options, resume=True)


def test_an_empty_folder_is_one_sentence(image_scorer: Any, tmp_path: Path) -> None:
    image_scorer.spec = SPEC
    (tmp_path / "x").mkdir()
    (tmp_path / "x" / "a.bmp").write_bytes(b"")
    for action in (
        lambda: score_file(image_scorer, tmp_path / "x", tmp_path / "out.csv"),
        lambda: vae("train", tmp_path / "x"),
    ):
        with pytest.raises(
            InputError, match=r"no \.png, \.jpg, \.jpeg files below this folder \(skipped 1 file: 1 not"
        ):
            action()


def test_images_of_several_sizes_are_scaled_in_training_and_afterwards(tmp_path: Path) -> None:
    folder = tmp_path / "sizes"
    folder.mkdir()
    for i in range(100):
        image(i, side=16 + i % 5).resize((16 + i % 3, 20)).save(folder / f"{i:02}.png")
    options = [f"--set={one}" for one in SETTINGS]
    models = f"--models={tmp_path / 'models'}"
    said = vae_error("train", folder, *options, models, f"--run={tmp_path / 'run'}")
    assert "scale all to one size with --resize 16x20" in said
    done = vae("train", folder, "--resize=6x8", *options, models, f"--run={tmp_path / 'run'}")
    assert done.exit_code == 0, done.stderr
    config = (tmp_path / "models" / "sizes" / "1" / "config.toml").read_text()
    assert "resize = [\n    6,\n    8,\n]" in config
    with Model.load(tmp_path / "models" / "sizes", device="cpu") as model:
        assert isinstance(model.spec, ImageSpec)
        assert (model.spec.width, model.spec.height, model.spec.resize) == (6, 8, True)
        assert explain_row(model, folder, 3, top=1).row == 3
        manifest = publish_calibration(model, folder.rename(tmp_path / "new"))
        assert manifest.input == model.spec
    assert vae("score", "sizes@1", tmp_path / "new", tmp_path / "out.csv", models).exit_code == 0
    assert pyarrow.csv.read_csv(tmp_path / "out.csv").num_rows == 100


@pytest.mark.parametrize("size", ["6y8", "0.5", "x8", "-3", "6x8x3", ""])
def test_a_size_that_is_none_is_refused(size: str, tmp_path: Path) -> None:
    said = vae_error("train", tmp_path, f"--resize={size}")
    assert "expected WIDTHxHEIGHT in pixels, such as 64x48, or one number" in said


def test_a_size_of_zero_or_for_a_table_is_refused(tmp_path: Path) -> None:
    assert "data.resize" in vae_error("train", tmp_path, "--resize=0")
    assert "data.resize scales the images of a folder, and this is none" in vae_error("train", "digits", "--resize=4")


def test_links_are_followed_and_a_link_to_nowhere_is_named(image_scorer: Any, plant: Path, tmp_path: Path) -> None:
    image_scorer.spec = SPEC
    folder = tmp_path / "links"
    folder.mkdir()
    (folder / "good").symlink_to(plant / "images" / "good")
    (folder / "around").symlink_to(folder)
    done = score_file(image_scorer, folder, tmp_path / "out.parquet")
    assert done.rows == 110
    assert pq.read_table(tmp_path / "out.parquet")["folder"].to_pylist() == ["good"] * 110
    trained = read(str(folder))
    assert trained.images is not None
    assert len(trained.images) == 110
    assert trained.columns["folder"].tolist() == ["good"] * 110
    (folder / "z.png").symlink_to("/nowhere.png")
    with pytest.raises(InputError, match=r"row 110, file 'z\.png': .*No such file"):
        score_file(image_scorer, folder, tmp_path / "out.parquet")
    with pytest.raises(InputError, match=r"z\.png: No such file"):
        read(str(folder))


def test_parquet_files_behind_links_are_read_by_training_and_scoring(scorer: Any, tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    pq.write_table(pa.table({"a": [1.0], "b": [2.0], "c": [0]}), tmp_path / "real" / "x.parquet")
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "link").symlink_to(tmp_path / "real")
    assert read(str(tmp_path / "data")).columns["a"].tolist() == [1.0]
    assert score_file(scorer, tmp_path / "data", tmp_path / "out.parquet").rows == 1
