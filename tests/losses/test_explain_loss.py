"""`vae explain-loss` on the command line, and docs/reference/losses.md.

`python -m tests.losses.test_explain_loss` renews the table of the page.
"""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

from vaekit.cli import app
from vaekit.errors import InputError
from vaekit.losses import CONVENTIONS, Explanation, explain, losses_of

ROOT = Path(__file__).resolve().parents[2]

PAGE = ROOT / "docs" / "reference" / "losses.md"
MARK = "<!-- renewed by: python -m tests.losses.test_explain_loss -->\n"
COMMANDS = re.findall(r"^vae (.+?)(?: +#.*)?$", PAGE.read_text(), re.MULTILINE)


def test_the_command_prints_what_the_json_says() -> None:
    runner = CliRunner()
    words = ["explain-loss", "--error", "half-squared", "--kl-weight", "0.25", "--dim", "8"]
    table = runner.invoke(app, words)
    tree = json.loads(runner.invoke(app, [*words, "--json"]).stdout)
    exact, unit = tree["losses"]["as given"]["equivalents"]
    assert (exact["sigma"], exact["beta"], unit["beta"]) == (0.5, 1.0, 0.25)
    assert table.exit_code == 0
    for e in (exact, unit):
        row = rf"{e['sigma']:.6g} │ +{e['beta']:.6g} │ +{e['factor']:.6g} │ +{e['constant']:.6g}"
        assert re.search(row, table.stdout)
        assert e["config"] in table.stdout


def test_the_command_lists_every_name_and_explains_each() -> None:
    runner = CliRunner()
    listed = json.loads(runner.invoke(app, ["explain-loss", "--json"]).stdout)
    assert list(listed) == list(CONVENTIONS)
    for name in CONVENTIONS:
        done = runner.invoke(app, ["explain-loss", name, "--dim", "6", "--json"])
        assert done.exit_code == 0, done.output
        assert set(json.loads(done.stdout)["losses"]) == set(CONVENTIONS[name].variants)


@pytest.mark.parametrize("error", ["squared", "half-squared", "bce"])
def test_an_error_given_in_place_of_a_gaussian_leaves_its_scale_behind(error: str) -> None:
    for name, convention in CONVENTIONS.items():
        if any("scale" in variant for variant in convention.variants.values()):
            for loss in losses_of(name, {"error": error, "dim": 6, "latent_dim": 2, "batch_size": 4}).values():
                assert loss.scale is None
    with pytest.raises(InputError, match="scale"):
        losses_of("alibi-detect", {"error": error, "dim": 6, "scale": 0.5})


def test_a_share_of_no_weight_is_refused() -> None:
    done = CliRunner().invoke(app, ["explain-loss", "--warmed-up", "0.5"])
    assert isinstance(done.exception, InputError)
    assert "--warmed-up: needs a loss" in str(done.exception)


def test_half_squared_halves_a_named_losss_own_weight() -> None:
    words = ["explain-loss", "pythae", "--error", "half-squared", "--json"]
    for flags, weight in (([], 0.25), (["--weight", "3"], 1.5)):
        done = CliRunner().invoke(app, [*words, *flags])
        assert json.loads(done.stdout)["losses"]["mse"]["loss"]["weight"] == weight


def page_table() -> str:
    """One row a variant: the formula, sigma at beta = 1, beta at sigma = 1, and whether there is an ELBO in it."""
    lines = ["| name | loss | a row | sigma at beta = 1 | beta at sigma = 1 | an ELBO |", "|---|---|---|---|---|---|"]
    for name in CONVENTIONS:
        sizes = {} if "dim" in CONVENTIONS[name].example else {"dim": 32}
        for variant, loss in losses_of(name, sizes).items():
            found = explain(loss)
            sigma = found.equivalents[0].sigma if found.equivalents else None
            beta = found.b / found.a / (2 if found.loss.is_squared else 1)
            said = ("-" if sigma is None else f"{sigma:.4g}", f"{beta:.4g}", verdict(found))
            cells = (f"`{name}`", variant, found.formula.replace("|", r"\|"), *said)
            lines.append(f"| {' | '.join(cells)} |")
    return "\n".join([*lines, ""])


def verdict(found: Explanation) -> str:
    if not found.equivalents:
        return "no: no KL"
    if found.loss.is_squared:
        return "up to constants" if found.equivalents[0].constant else "yes"
    return "no: x is grey" if found.loss.grey else "yes" if found.equivalents[0].beta == 1 else "no: beta"


def test_the_page_has_the_figures_that_the_command_prints() -> None:
    before, after = PAGE.read_text().split(MARK)
    assert before
    assert after.startswith(page_table())


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_of_the_page_works(command: str) -> None:
    done = CliRunner().invoke(app, command.split())
    assert done.exit_code == 0, done.output


if __name__ == "__main__":
    head, tail = PAGE.read_text().split(MARK)
    rest = tail[tail.index("\n## ") :]
    PAGE.write_text(head + MARK + page_table() + rest)
