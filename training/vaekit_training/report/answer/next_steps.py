"""The section on what to do next: commands to try, and each warning with what to do about it."""

from __future__ import annotations

import shlex
from pathlib import PurePath

from vaekit.bundle.calibration import at_least, rows_to_resolve
from vaekit.bundle.thresholds import ALPHAS
from vaekit.errors import ConfigError, InputError
from vaekit_training.config import make_config
from vaekit_training.data.split import split
from vaekit_training.evaluate import ALPHA
from vaekit_training.report import guarantees, words
from vaekit_training.report.facts import Facts
from vaekit_training.report.measured.cases import REASONS
from vaekit_training.report.parts import Command, Section, number, plural
from vaekit_training.trained import Trained

FOLDS = 3  # of the command that trains again with more calibration rows
FILES = (".csv", ".parquet", ".npy", ".arrow", ".feather")
ADVICE = (  # what a warning starts with or holds, and what to do; the first that fits
    ("There are only", "Use a higher alpha, or calibrate on more rows; the commands above say how."),
    ("This bundle", "Give the bundle only to people who may see these rows, or train with --set prior.name=normal."),
    ("posterior collapse", "Scores stay valid. If too few anomalies are found, train again with the settings named."),
    ("training continues", "If the rows named are wrong, correct or exclude them; else lower training.learning_rate."),
    ("float16", "The float32 graphs are not affected; leave export.half out if nobody needs float16."),
)
VERSION = "VERSION"  # in a command, before the bundle has one
OTHER_ADVICE = "Nothing, if this is what you want; the message names the setting."


def section(facts: Facts) -> Section:
    """What to do next."""
    text = ("Run the commands in the folder that holds the models folder.",)
    return Section("next", "What to do next", text, commands=commands(facts), advice=advice(facts))


def commands(facts: Facts) -> tuple[Command, ...]:
    """Commands to try, with the names of this model and its data."""
    name, new = shlex.quote(facts.manifest.name), _new_rows(facts)
    cells = min(REASONS, facts.manifest.input.dim)
    explained = "" if facts.is_image else f" --explain {cells}"
    found = [
        Command(
            f"vae score {name} {new} scored.csv{explained} --summary summary.json",
            "Score new rows: p-value and verdict"
            + (", with the most anomalous cells of each row." if explained else "."),
        ),
        Command(*_explain(facts, name)),
        Command("vae serve", "Answer over HTTP at http://127.0.0.1:8000, with a page to try it."),
        *_lower_alpha(facts, name),
    ]
    if not facts.judged.has_anomalies:
        found.append(
            Command(
                f"vae evaluate {name} {_labelled(facts)} --label-folder --anomaly SUBFOLDER",
                "Measure what it finds: with some labelled images, the anomalies in a subfolder of their own.",
            )
            if facts.is_image
            else Command(
                f"vae evaluate {name} {_labelled(facts)} --label COLUMN",
                "Measure what it finds: with labels for some rows, 1 for an anomaly, in a column of the file.",
            )
        )
    return tuple(found)


def _explain(facts: Facts, name: str) -> tuple[str, str]:
    source, top = facts.run.config.data.source, facts.cases.top
    known = PurePath(source).suffix.lower() in FILES or (facts.is_image and PurePath(source).suffix == "")
    known = known and source not in ("breast-cancer", "digits")
    if not known or not top or top[0].row is None:
        return f"vae explain {name} {_new_rows(facts)} --row 0 --out row-0.png", "Explain one row, with a figure."
    row = top[0].row
    line = f"vae explain {name} {shlex.quote(source)} --row {row} --out row-{row}.png"
    return line, "Explain the most anomalous row of this page, with a figure."


def _new_rows(facts: Facts) -> str:
    """The name of a file of new rows, in the format of the training data."""
    if facts.is_image:
        return "new-images"
    suffix = PurePath(facts.run.config.data.source).suffix.lower()
    return f"new{suffix if suffix in FILES else '.csv'}"


def _labelled(facts: Facts) -> str:
    return _new_rows(facts).replace("new", "labelled", 1)


def _lower_alpha(facts: Facts, name: str) -> list[Command]:
    """How to get an alpha that is too low for this calibration: more calibration rows, or folds."""
    entry = guarantees.entry_of(facts.manifest)
    rows = entry.rows_per_p_value
    missed = next((alpha for alpha in sorted(ALPHAS, reverse=True) if rows < rows_to_resolve(alpha)), None)
    if missed is None:
        return []
    wanted = rows_to_resolve(missed)
    rate = f"alpha = {missed:g}" if missed != ALPHA else f"the usual alpha = {missed:g}"
    new = _new_rows(facts).replace("new", "normal", 1)
    source = facts.run.config.data.source
    what = "images" if facts.is_image else "rows"
    found = [
        Command(
            f"vae calibrate {name} {new}",
            f"Get {rate}: it needs {wanted:,} normal {what} that are not in {source}, and {rows:,} were kept.",
        )
    ]
    each = rows_of_a_fold(facts.run) if entry.folds is None and not facts.is_image else 0
    if each >= wanted:
        factor = "at most 1.5 alpha of normal rows are then flagged"
        found.append(
            Command(
                f"vae train {_config(facts)} --set data.folds={FOLDS}",
                f"Get {rate} without more rows: three models, each calibrated on the {each:,} rows of its fold; "
                f"{factor}.",
            )
        )
    elif missed >= ALPHA:
        least = 1 / (1 + rows)
        found.append(
            Command(
                f"vae score {name} {_new_rows(facts)} scored.csv --alpha {at_least(least):g}",
                f"Flag rows with this model as it is: {number(least, 3)} is the lowest alpha that it can tell.",
            )
        )
    return found


def rows_of_a_fold(run: Trained) -> int:
    """The calibration rows of a fold, if the run is repeated with FOLDS folds; 0 if it cannot be."""
    try:
        config = make_config(run.config.model_dump(mode="json", exclude_none=True), {"data.folds": FOLDS})
        return split(run.rows, config.data, config.training.seed).rows_per_p_value
    except (ConfigError, InputError):
        return 0


def _config(facts: Facts) -> str:
    return f"models/{shlex.quote(facts.manifest.name)}/{VERSION}/config.toml"


def advice(facts: Facts) -> tuple[tuple[str, str], ...]:
    """Each warning about the model, and what to do about it."""
    return tuple((warning, _what_to_do(warning)) for warning in words.warnings(facts))


def _what_to_do(warning: str) -> str:
    return next((text for part, text in ADVICE if part in warning), OTHER_ADVICE)


def warned(facts: Facts) -> str:
    """How many warnings there are, as text; empty without any."""
    count = len(words.warnings(facts))
    return plural(count, "warning") if count else ""
