"""`vae demo`: trains on data that ship with vaekit, shows alerts with their reasons, and opens the service's page."""

from __future__ import annotations

import csv
import os
import shlex
import signal
import socket
import sys
import threading
import time
import webbrowser
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from vaekit.cli.panels import ADDRESS, OUTPUT, examples
from vaekit.errors import InputError, Interrupted, MissingExtra

if TYPE_CHECKING:
    from vaekit.project import Project

EXAMPLES = examples("vae demo", "vae demo --no-open --port 8001 --out build/demo")
NEEDS = {"torch": "training", "onnx": "training", "sklearn": "training", "fastapi": "service", "uvicorn": "service"}
NEEDS |= {"pyarrow": "scoring", "onnxruntime": "cpu"}
HOST = "127.0.0.1"
ALPHA = 0.01
EXPLAINED = 2  # cells of a row that are compared with what is expected
SHOWN = 15  # alerts
DIGITS = """# Handwritten digits of 8 x 8 pixels, included in scikit-learn: vae train digits.toml
name = "digits"
description = "Handwritten digits, 8 x 8 pixels; pixels are binarised at half the range inside the model."

[data]
source = "digits"

[network]
latent_dim = 12
hidden = [64, 64]

[likelihood]
name = "bernoulli"
binarize = "threshold"

[training]
steps = 1500  # a few seconds; the default is better, and slower
"""
console = Console(highlight=False, soft_wrap=True)


def demo(
    out: Annotated[
        Path, typer.Option(help="folder of the project that the demo writes, as vae init does", rich_help_panel=OUTPUT)
    ] = Path("vaekit-demo"),
    port: Annotated[
        int, typer.Option(min=0, max=65535, help="port to serve on; if taken, any free one", rich_help_panel=ADDRESS)
    ] = 8000,
    is_opened: Annotated[
        bool, typer.Option("--open/--no-open", help="whether to open the page in a browser", rich_help_panel=OUTPUT)
    ] = True,
) -> None:
    """Train on data that ship with vaekit, show alerts with reasons, then serve and open the page."""
    check_extras()
    started = time.perf_counter()
    try:
        _make(out)
    except KeyboardInterrupt:
        console.print("\nstopped")
        raise typer.Exit(130) from None
    except Interrupted:  # by SIGTERM
        raise typer.Exit(128 + signal.SIGTERM) from None
    console.print(f"\nDone in {time.perf_counter() - started:.0f} s. {escape(str(out))}/README.md lists the commands.")
    _serve(out, free_port(port), opens=is_opened)


def check_extras() -> None:
    """Raises MissingExtra if a package that the demo needs is not installed."""
    missing = [package for package in NEEDS if find_spec(package) is None]
    if missing:
        are = "is" if len(missing) == 1 else "are"
        cpu = "cpu," if "onnxruntime" in missing else ""  # never beside the one of the gpu extra
        raise MissingExtra(
            f"vae demo trains, scores and serves, but {', '.join(missing)} {are} not installed: "
            f"pip install 'vaekit[{cpu}service,training,scoring]'"
        )


def _make(out: Path) -> None:
    """Write the project, train both models and score the new rows."""
    from vaekit.project import sample, write

    project = sample()
    if (out / "config.toml").exists():
        if not (out / "digits.toml").exists():
            raise InputError(f"{out}: holds another project; name another folder with --out")
        console.print(f"[bold]1/4[/] {escape(str(out))} is there from an earlier demo")
    else:
        inside = shlex.quote(str(out))
        with step("1/4", "write a project with sensor data of three pumps", f"vae init {inside} && cd {inside}"):
            write(project, out)
            (out / "digits.toml").write_text(DIGITS, encoding="utf-8")
    _train("2/4", out, "config.toml", "train on 1,200 rows of normal operation")
    with step("3/4", f"score 200 new rows at a false-alarm rate of {ALPHA:.0%}", _command(project)):
        _score(project, out)
    _show_alerts(out / "scored.csv")
    _train("4/4", out, "digits.toml", "train on 1,797 images of handwritten digits")


@contextmanager
def step(number: str, what: str, command: str) -> Iterator[None]:
    """Announce a step with the command that does the same, and say how long it took."""
    console.print(f"\n[bold]{number} {escape(what)}[/]\n    [dim]$ {escape(command)}[/]")
    started = time.perf_counter()
    with console.status("working"):
        yield
    console.print(f"    [dim]{time.perf_counter() - started:.1f} s[/]")


def _command(project: Project) -> str:
    return f"vae score {project.name} {project.rows} scored.csv --alpha {ALPHA:g} --explain {EXPLAINED}"


def _train(number: str, out: Path, config: str, what: str) -> None:
    """Train the model of a config, unless an earlier demo has."""
    from vaekit.bundle.models_folder import latest

    name = "sensors" if config == "config.toml" else "digits"
    if latest(out / "models", name) is not None:
        console.print(f"[bold]{number}[/] {name} is there from an earlier demo")
        return
    with step(number, what, f"vae train {config}"):
        from vaekit_training.config import load_config
        from vaekit_training.run import train

        train(load_config(out / config), out / "models", device="cpu")


def _score(project: Project, out: Path) -> None:
    """Write scored.csv: the new rows with scores, p-values, verdicts and the two most anomalous cells of each row."""
    from vaekit.runtime import Model
    from vaekit.scoring import LocalScorer, score_file

    with Model.load(out / "models" / project.name, device="cpu") as model:
        score_file(LocalScorer(model, alpha=ALPHA, explain=EXPLAINED), out / project.rows, out / "scored.csv")


def _show_alerts(scored: Path) -> None:
    """Print the flagged rows, the most anomalous first, beside the faults that were put into the data."""
    with scored.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    alerts = sorted((row for row in rows if row["is_anomaly"] == "true"), key=lambda row: -float(row["score"]))
    table = Table(title=f"{len(alerts)} alerts in {len(rows)} rows, the highest score first", title_justify="left")
    for column in ("time", "score", "reasons", "simulated fault"):
        table.add_column(column, overflow="fold", justify="right" if column == "score" else "left")
    for row in alerts[:SHOWN]:
        cells = (row["time"][5:], f"{float(row['score']):,.1f}", reasons(row), row["fault"] or "none")
        table.add_row(*map(escape, cells))
    Console(highlight=False).print(table)
    faults = [row for row in rows if row["fault"]]
    found = sum(row["is_anomaly"] == "true" for row in faults)
    normal = len(rows) - len(faults)
    console.print(
        f"    {found} of {len(faults)} faults found; {len(alerts) - found} false alarms in {normal} normal rows "
        f"(on average at most {ALPHA * normal:.1f})"
    )


def reasons(row: dict[str, Any]) -> str:
    """The cells of a scored row that stand out, with the values expected there."""
    from vaekit.tabular.explained_cells import NONE_IS_ODD, is_odd

    found = []
    for number in range(1, EXPLAINED + 1):
        name = row[f"odd_{number}"]
        if name and is_odd(_cell(row, number)):
            found.append(f"{name} {row[name]}, expected {_rounded(row[f'odd_{number}_expected'])}")
    return "; ".join(found) or NONE_IS_ODD


def _cell(row: dict[str, Any], number: int) -> dict[str, Any]:
    """An explained cell of a scored row, with numbers where they are some."""
    from vaekit.tabular.explained_cells import LEVELS

    texts = {name: row[f"odd_{number}_{name}"] for name in ("relief", "p_value", "low", "high", "value", "expected")}
    is_level = not texts["low"]
    return {
        name: text if is_level and name in LEVELS else float(text) if text else None for name, text in texts.items()
    }


def _rounded(text: str) -> str:
    try:
        return f"{float(text):.4g}"
    except ValueError:
        return text


def free_port(port: int) -> int:
    """The port, or any free one if it is taken."""
    with socket.socket() as probe:
        if os.name == "posix":
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            probe.bind((HOST, 0))
            console.print(f"port {port} is taken; using {probe.getsockname()[1]}")
        return int(probe.getsockname()[1])


def _serve(out: Path, port: int, *, opens: bool) -> None:
    """Serve the models until Ctrl-C, and open the page once a model is ready."""
    from vaekit_service.server import serve
    from vaekit_service.settings import load

    url = f"http://{HOST}:{port}/"

    def tell(line: str) -> None:
        if line.startswith("ready:"):
            console.print(f"    {escape(line)}")
        if line.startswith("try:"):
            threading.Thread(
                target=_open, args=(url, str(out / "data" / "new.csv")), kwargs={"opens": opens}, daemon=True
            ).start()

    console.print(
        f"\n[bold]serving on {url}[/]\n    [dim]$ vae serve --default-model sensors --alpha {ALPHA:g} --port {port}[/]"
    )
    chosen = {"host": HOST, "port": port, "device": "cpu", "alpha": ALPHA, "default_model": "sensors"}
    serve(load(models=out / "models", log_level="warning", **chosen), tell)
    console.print("stopped")


def _open(url: str, rows: str, *, opens: bool) -> None:
    """Open the page, or say where it is. In a thread of its own, because some browsers return only when closed."""
    if opens and has_browser() and webbrowser.open(url):
        console.print(f"    opened {url}, where you can drop {escape(rows)}; Ctrl-C ends the service")
    else:
        console.print(f"    open {url} in a browser and drop {escape(rows)} there; Ctrl-C ends the service")


def has_browser() -> bool:
    """Whether a browser has a screen: without one, webbrowser may start one that takes over the terminal."""
    names = ("DISPLAY", "WAYLAND_DISPLAY", "BROWSER")
    return sys.platform in ("darwin", "win32") or any(os.environ.get(name) for name in names)
