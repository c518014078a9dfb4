"""The files of a project folder: rendered from templates, and written without replacing any file."""

from __future__ import annotations

import json
import os
import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

from vaekit.errors import InputError
from vaekit.project import sensors

ALPHA = 0.01
NEW, NORMAL = "data/new.csv", "data/normal.csv"
SAMPLE: dict[str, Any] = {  # what `vae train data/normal.csv` infers, with a name and a description
    "name": "sensors",
    "description": "Three pumps in normal operation, one row per quarter of an hour (simulated).",
    "data": {"source": NORMAL, "exclude": ["time"]},
    "likelihood": {"name": "mixed"},
    "prior": {"name": "kernel"},
}
MEANINGS = {
    "name": "the model's name: models/NAME/VERSION",
    "description": "a sentence for the model card",
    "source": "training rows, relative to this file: .csv, .parquet, .npy, .npz, a folder of Parquet files or images",
    "label": "column that marks known anomalies; they are only used to measure the model",
    "anomalies": "its values that mean anomaly",
    "exclude": "columns that are not modelled; scoring copies them to its output",
    "missing": "empty cells are left out of the score",
}
OF_VALUES = {
    "auto": "the default recipe for columns of numbers",
    "mixed": "numbers and categories, each with its own likelihood",
    "kernel": "a density around training rows: no training steps",
}
TRAINED_ON = """**`{0}` is only an example for `vae score` and `vae explain`: these are the training rows.** The model
has seen most of them, so their p-values promise nothing. Put a file of new rows in its place.

"""
HINTS = """
# Settings that are often changed, with examples:
#
# [data]
# label = "fault"              # column that marks known anomalies; they are only used to measure the model
# anomalies = ["1"]            # its values that mean anomaly
# split = "time:time"          # train on the earliest rows and calibrate on later ones: for drifting data
# folds = 5                    # calibrate on all rows, for tables of fewer than 500 rows
#
# [ignore.temperature_c]       # deviations of a column that are not worth an alarm, in its unit
# above = 2.0
"""


@dataclass(frozen=True)
class Project:
    """The files of a project, by path relative to its folder."""

    name: str  # of the model
    rows: str  # file to score
    files: Mapping[str, str]  # text by path
    remarks: tuple[str, ...] = ()  # choices that were made for the user's own data


def sample() -> Project:
    """A project with simulated sensors of pumps."""
    data_rows = (
        "| `data/normal.csv` | training rows |\n| `data/new.csv` | rows to score; `fault` says what is wrong |\n"
    )
    readme = _readme(
        name=SAMPLE["name"],
        intro="Finds anomalies in the sensors of three pumps; the data are simulated.",
        source=NORMAL,
        rows=NEW,
        row=min(sensors.FAULTS),
        data_rows=data_rows,
    )
    data = {NORMAL: sensors.normal_csv(), NEW: sensors.new_csv()}
    return Project(SAMPLE["name"], NEW, {**_common(), "config.toml": config(SAMPLE), "README.md": readme, **data})


def own_data(
    source: Path,
    folder: Path,
    *,
    label: str | None = None,
    anomalies: Sequence[str] | None = None,
    csv: Mapping[str, str] | None = None,
) -> Project:
    """A project for the user's rows, which stay where they are.

    Args:
        source: whatever `vae train` takes.
        folder: the project's folder.
        label: column that marks anomalies.
        anomalies: its values that mean anomaly; None: 1.
        csv: how a .csv file is written: delimiter, decimal and thousands of [data].

    Raises:
        InputError: the source is unknown or unreadable, or has nothing to model.
    """
    from vaekit_training.infer import infer

    given = {"label": label, "anomalies": anomalies or None, **(csv or {})}
    labels = {key: value for key, value in given.items() if value is not None}
    tree, remarks = infer(str(source), {"data": labels})
    name, place = tree["name"], _relative(source, folder)
    tree["data"] = {"source": place, **labels, **{key: tree["data"][key] for key in tree["data"] if key != "source"}}
    intro = f"Finds anomalies in rows like those of `{place}`."
    readme = _readme(name=name, intro=intro, source=place, rows=place, note=TRAINED_ON.format(place))
    files = {**_common(), "config.toml": config(tree, remarks), "README.md": readme}
    return Project(name, place, files, tuple(remarks))


def config(tree: Mapping[str, Any], remarks: Iterable[str] = ()) -> str:
    """A config as TOML with comments."""
    head = ["# Trained by: vae train config.toml", "# All settings: docs/reference/training.md of vaekit"]
    lines = [*head, *(f"# {' '.join(remark.split())}" for remark in remarks), ""]
    plain = {key: value for key, value in tree.items() if not isinstance(value, Mapping)}
    lines += [_setting(key, value) for key, value in plain.items()]
    for section, table in tree.items():
        if isinstance(table, Mapping):
            lines += ["", f"[{section}]", *(_setting(key, value) for key, value in table.items())]
    return "\n".join([*lines, HINTS])


def write(project: Project, folder: Path) -> list[Path]:
    """Write the files and return their paths.

    Raises:
        InputError: a file exists already, or cannot be written; nothing is written if one exists.
    """
    paths = {folder / name: text for name, text in project.files.items()}
    for path in paths:
        if path.exists() or path.is_symlink():
            raise InputError(f"{path}: exists already; nothing was written. Name another folder")
    for path, text in paths.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("x", encoding="utf-8", newline="\n") as file:
            file.write(text)
    return list(paths)


def _setting(key: str, value: Any) -> str:
    meaning = OF_VALUES.get(value) if isinstance(value, str) else None
    meaning = MEANINGS.get(key) if key in ("source", "description") else meaning or MEANINGS.get(key)
    text = json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")  # with this, TOML as well
    line = f"{key} = {text}"
    return f"{line}  # {meaning}" if meaning else line


def _common() -> dict[str, str]:
    return {
        "docker-compose.yml": _template("docker-compose.yml"),
        ".gitignore": _template("gitignore"),
        "models/.gitkeep": "",  # the compose file mounts the folder
    }


def _readme(*, rows: str, row: int = 0, data_rows: str = "", note: str = "", **values: str) -> str:
    text = _template("README.md")
    values |= {"row": str(row), "quoted_rows": shlex.quote(rows), "data_rows": data_rows, "alpha": f"{ALPHA:g}"}
    values["note"] = note
    for key, value in values.items():
        text = text.replace("{{" + key + "}}", value)
    return text


def _template(name: str) -> str:
    return (resources.files("vaekit.project") / "templates" / name).read_text(encoding="utf-8")


def _relative(source: Path, folder: Path) -> str:
    """The path of the source from the folder, with slashes; absolute on another drive."""
    try:
        return Path(os.path.relpath(source.resolve(), folder.resolve())).as_posix()
    except ValueError:
        return source.resolve().as_posix()
