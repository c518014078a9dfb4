"""Trains two models on real data, publishes and serves them, and scores rows with the commands and the client.

python examples/demo.py --out build/demo
"""

from __future__ import annotations

import argparse
import re
import shlex
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pyarrow as pa
from pyarrow import csv, parquet
from rich.console import Console
from rich.table import Table

from vaekit import Client, Model
from vaekit.bundle import Calibration, Manifest, find
from vaekit.bundle.read import read_manifest
from vaekit_training.data.load import load, read
from vaekit_training.data.split import split
from vaekit_training.report.image_sheets import png, sheet
from vaekit_training.report.page import document
from vaekit_training.report.rows import scores

HERE = Path(__file__).resolve().parent
VAE = [sys.executable, "-m", "vaekit"]
ALPHA = 0.05
console = Console(highlight=False, soft_wrap=True)


def main() -> None:
    """Run all steps. The first step that fails ends the demo with an error."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("build/demo"), help="folder for all files of the demo")
    out: Path = parser.parse_args().out
    out.mkdir(parents=True, exist_ok=True)
    models = out / "models"
    started = time.perf_counter()
    for name in ("breast-cancer", "digits"):
        vae("train", str(HERE / f"{name}.toml"), "--models", str(models))
    tumours, digits = (read_manifest(find(models, name)) for name in ("breast-cancer", "digits"))
    figures(tumours, digits)
    rows, anomaly = held_out(tumours)
    with service(models) as url, Client(url) as client:
        samples = call(client, rows, anomaly, out)
    table, scored = write_rows(tumours, rows, anomaly, out), out / "scored.parquet"
    vae("score", "breast-cancer", str(table), str(scored), "--models", str(models), "--alpha", str(ALPHA))
    shown = draw_scores(scored, models / "breast-cancer", out)
    console.print(f"\nDone in {time.perf_counter() - started:.0f} s. See:")
    for path in (samples, shown, scored, models / "breast-cancer" / str(tumours.version) / "report"):
        console.print(f"  {path}")


def vae(*arguments: str) -> None:
    """Print and run a `vae` command."""
    console.print(f"\n[bold]$ vae {shlex.join(arguments)}[/]")
    subprocess.run([*VAE, *arguments], check=True)


def figures(tumours: Manifest, digits: Manifest) -> None:
    """Print the main metrics of the two bundles."""
    table = Table(title="Measured on rows that were not used for training", title_justify="left")
    for column in ("figure", tumours.name, digits.name, "unit"):
        table.add_column(column, justify="left" if column in ("figure", "unit") else "right")
    for name in ("parity", "elbo", "bits_per_dim", "auroc", "false_alarm_rate"):
        found = [manifest.metrics.get(name) for manifest in (tumours, digits)]
        unit = next(metric.unit for metric in found if metric)
        cells = [
            f"{m.value:.4g}" + (f" ± {m.standard_error:.2g}" if m.standard_error else "") if m else "" for m in found
        ]
        table.add_row(name, *cells, unit)
    console.print(table)


def held_out(manifest: Manifest) -> tuple[np.ndarray, np.ndarray]:
    """The test rows and anomalies of the training run, (N, D), and whether each is malignant, (N,)."""
    from vaekit_training.config import Config

    config = Config.model_validate(manifest.provenance.config)
    data = load(config.data, config.likelihood, config.training.seed)
    parts = split(data, config.data, config.training.seed)
    index = np.r_[parts.test, parts.anomalies]
    return data.x[index], data.anomaly[index]


@contextmanager
def service(models: Path) -> Iterator[str]:
    """Run a service on a free port during the block and yield its address. It must then exit with code 0."""
    command = ["serve", "--models", str(models), "--port", "0"]
    console.print(f"\n[bold]$ vae {shlex.join(command)}[/]")
    process = subprocess.Popen([*VAE, *command], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    address: list[str] = []
    known = threading.Event()

    def listen() -> None:
        assert process.stdout is not None
        for line in process.stdout:
            if not known.is_set() and (found := re.search(r"http://127\.0\.0\.1:\d+", line)):
                address.append(found.group())
                known.set()
        known.set()

    threading.Thread(target=listen, daemon=True).start()
    try:
        known.wait(60)
        if not address:
            raise SystemExit(f"the service did not start (exit code {process.poll()})")
        wait_ready(address[0])
        console.print(f"listening on {address[0]}")
        yield address[0]
    finally:
        process.terminate()
        code = process.wait(30)
    console.print(f"stopped the service: exit code {code}")
    if code:
        raise SystemExit(code)


def wait_ready(url: str) -> None:
    with Client(url) as client:
        for _ in range(600):
            if client.ready():
                return
            time.sleep(0.1)
    raise SystemExit("the service was not ready within 60 s")


def call(client: Client, rows: np.ndarray, anomaly: np.ndarray, out: Path) -> Path:
    """Call every operation of the service through the client, and write an image of sampled digits."""
    posterior = client.encode(rows, model="breast-cancer")
    decoded = client.decode(posterior.mu, model="breast-cancer")
    drawn = client.sample(64, seed=7, model="digits")
    bound = client.elbo(rows, alpha=ALPHA, features=True, model="breast-cancer")
    images = read("digits").images
    assert images is not None
    some_digits = client.elbo(images[:8], model="digits")
    assert bound.is_anomaly is not None
    assert bound.feature_log_likelihood is not None
    assert some_digits.bits_per_dim is not None
    console.print(f"/encode  {len(rows)} rows -> mu {posterior.mu.shape}, sigma {posterior.sigma.shape}")
    console.print(f"/decode  {len(rows)} latent vectors -> mean {decoded.mean.shape} in raw units")
    console.print(f"/sample  {len(drawn.samples)} digits with seed {drawn.seed}")
    for kind, some in (("benign", ~anomaly), ("malignant", anomaly)):
        console.print(
            f"/elbo    {some.sum()} {kind} rows: {bound.elbo[some].mean():.1f} nats per row, "
            f"{bound.is_anomaly[some].mean():.1%} flagged at alpha = {ALPHA}"
        )
    console.print(f"/elbo    8 digits: {some_digits.bits_per_dim.mean():.3f} bits per binarised pixel")
    path = out / "sampled-digits.png"
    path.write_bytes(png(sheet(drawn.samples, 8), zoom=5))
    return path


def write_rows(manifest: Manifest, rows: np.ndarray, anomaly: np.ndarray, out: Path) -> Path:
    """Write the held-out rows as a CSV with a header, and one column that the model does not read."""
    assert manifest.input.kind == "vector"
    columns = {name: rows[:, d] for d, name in enumerate(manifest.input.names)}
    path = out / "rows.csv"
    csv.write_csv(pa.table({**columns, "malignant": anomaly.astype(np.int64)}), path)
    return path


def draw_scores(scored: Path, model: Path, out: Path) -> Path:
    """Write a page with the histogram of the scores."""
    table = parquet.read_table(scored)
    score = table["score"].to_numpy()
    malignant = table["malignant"].to_numpy() == "1"  # columns that scoring copies from a CSV are text
    assert malignant.any()
    assert not malignant.all()
    with Model.load(model) as loaded:
        calibration = loaded.calibration()
    assert isinstance(calibration, Calibration)
    threshold = calibration.threshold(ALPHA)
    assert ((score > threshold) == table["is_anomaly"].to_numpy()).all()
    parts = {"test": score[~malignant], "anomalies": score[malignant]}
    path = out / "scores.html"
    path.write_text(document("breast-cancer", "scored by vae score", (), [scores(parts, threshold)]), encoding="utf-8")
    return path


if __name__ == "__main__":
    main()
