"""Each tutorial, followed in an empty folder, prints what its page shows."""

from __future__ import annotations

import csv
import re
import sys
import time
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.tutorials.pages import NUMBER, Reader, pictures, reader, steps

FAULTS = {41: "flow", 97: "bearing", 150: "pump", 203: "current"}
FEWER_ROWS = {
    "10000000": "100000",
    "10,000,000": "100,000",
    "1_000_000": "20_000",
    "00009": "00004",
    "INT 60": "INT 5",
    "parts kept from an earlier run: 1 (1,000,000 rows)\n": "",  # depends on the speed of the machine
}
SENSORS = "tutorials/sensors.md"


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("page", ["images", "pyod", "batch"])
def test_a_tutorial_prints_what_it_shows(page: str, tmp_path: Path) -> None:
    with reader(tmp_path / "work", FEWER_ROWS) as one:
        follow(one, f"tutorials/{page}.md")


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_the_code_of_pyod_runs(tmp_path: Path) -> None:
    pytest.importorskip("pyod")
    page = (ROOT / "docs" / "tutorials" / "pyod.md").read_text(encoding="utf-8")
    (code,) = re.findall(r"^~~~python\n(.*?)^~~~$", page, re.MULTILINE | re.DOTALL)
    with reader(tmp_path / "work") as one:
        (one.folder / "tumours.py").write_text(next(steps("tutorials/pyod.md"))[1], encoding="utf-8")
        assert "malignant: 0.9" in one.run([sys.executable, "-W", "default", "-c", code])


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_the_readings_sent_to_a_service_are_answered_as_shown(tmp_path: Path) -> None:
    """Without containers: the key, nginx and the replicas are those of the deploy tests."""
    with reader(tmp_path / "work") as one:
        for _, code, file in list(steps(SENSORS))[:4]:
            if file:
                (one.folder / file).write_text(code, encoding="utf-8")
            elif not code.startswith("pump,"):
                one.enter(code)
        one.serve("vae serve --models models")
        command = ""
        for language, code, file in steps("tutorials/service.md"):
            if file:
                (one.folder / file).write_text(replaced(code, one), encoding="utf-8")
            elif language == "text":
                until_printed(one, command, code)
            elif "docker" not in code:
                lines = [line for line in code.splitlines() if line.startswith(("python", "curl"))]
                command = replaced("\n".join(lines), one)


def replaced(code: str, one: Reader) -> str:
    for old, new in one.replace.items():
        code = code.replace(old, new)
    return code


def until_printed(one: Reader, command: str, shown: str) -> None:
    """Enter a command until it prints what is shown: the service compares its scores every few seconds."""
    for _ in range(20):
        printed = one.enter(command)
        if all(line in printed for line in shown.splitlines()):
            return
        time.sleep(2)
    raise AssertionError(f"not printed: {shown}\n{printed}")


def test_the_commands_with_docker_are_those_of_the_how_to_guides() -> None:
    guides = "".join(
        (ROOT / "docs" / "how-to" / f"{name}.md").read_text(encoding="utf-8") for name in ("deploy", "monitor")
    )
    for language, code, _ in steps("tutorials/service.md"):
        if language == "yaml":
            assert code in guides
        elif "docker" in code:
            assert code.replace("service=2", "service=3") in guides


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_the_sensors_the_first_page_and_the_pipe_of_events_print_what_they_show(tmp_path: Path) -> None:
    with reader(tmp_path / "work") as one:
        follow(one, SENSORS)
        assert alerts(one.folder / "scored.csv") == table_of_alerts()
        follow(one, "index.md")
        follow(one, "tutorials/events.md")


def follow(one: Reader, page: str) -> None:
    """Follow a page, which makes the pictures that it shows."""
    one.follow(page)
    for made, kept in pictures(page).items():
        assert (one.folder / made).exists()
        assert kept.exists()


def test_no_limit_on_one_column_finds_the_faults_of_the_sensors(tmp_path: Path) -> None:
    with reader(tmp_path / "work") as one:
        code = next(code for _, code, file in steps(SENSORS) if file == "make_pumps.py")
        one.run(["python", "-c", code])
        history, today = (rows(one.folder / f"{name}.csv") for name in ("pumps", "today"))
    for row, column in FAULTS.items():
        if column != "pump":
            usual = sorted(float(one[column]) for one in history if one[column])
            share = sum(value < float(today[row][column]) for value in usual) / len(usual)
            assert 0.02 < share < 0.98


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def alerts(scored: Path) -> list[list[str]]:
    """Row, pump, column, value, expected value and p-value of each alert, the highest score first."""
    found = [(float(one["score"]), row, one) for row, one in enumerate(rows(scored)) if one["is_anomaly"] == "true"]
    return [
        [str(row), one["pump"], one["odd_1"], *map(_short, (one[one["odd_1"]], one["odd_1_expected"], one["p_value"]))]
        for _, row, one in sorted(found, reverse=True, key=lambda each: each[0])
    ]


def table_of_alerts() -> list[list[str]]:
    """The same columns of the table on the first page."""
    text = (ROOT / "docs" / "index.md").read_text(encoding="utf-8")
    lines = re.findall(r"^\| (\d+) \| (\w) \| (\w+) \| (\S+) \| (\S+) \| (\S+) \|", text, re.MULTILINE)
    return [[row, pump, column, *map(_short, cells)] for row, pump, column, *cells in lines]


def _short(cell: str) -> str:
    """Two digits of a number: other processors move figures a little."""
    return f"{float(cell):.2g}" if NUMBER.fullmatch(cell) else cell
