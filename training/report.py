"""Pictures and the model card of a finished run. Knows matplotlib and words; states no figure of its own."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

import jinja2
import numpy as np
from matplotlib import colormaps
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from numpy.typing import NDArray
from PIL import Image

from training import build
from training.evaluate import ALPHA
from vaekit.bundle import Calibration
from vaekit.bundle.manifest import Manifest
from vaekit.runtime import Model

if TYPE_CHECKING:
    from training.publish import Trained

BLUE, ORANGE, GREY = "#0072b2", "#d55e00", "#7f7f7f"  # apart for the colour-blind too (Okabe and Ito)
MOST_POINTS = 2000


def render(run: Trained, model: Model, manifest: Manifest, held_out: Calibration) -> dict[str, bytes]:
    """Files of report/ by path: pictures as PNG, and the model card."""
    pictures = {
        "loss.png": loss(run),
        "scores.png": scores(run, model, held_out),
        "latents.png": latents(run, model),
        "samples.png": samples(run, model),
        "reconstructions.png": reconstructions(run, model),
    }
    files = {f"report/{name}": png(figure) for name, figure in pictures.items()}
    files["report/model-card.md"] = card(run, manifest).encode()
    return files


def png(figure: Figure) -> bytes:
    """The figure as the content of a PNG file of 64 colours, a third of the size that all colours take."""
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    buffer = io.BytesIO()
    Image.fromarray(np.asarray(canvas.buffer_rgba())).convert("RGB").quantize(64).save(buffer, "PNG", optimize=True)
    return buffer.getvalue()


def figure(width: float = 6.4, height: float = 3.6) -> Figure:
    return Figure(figsize=(width, height), dpi=100, layout="constrained")


def loss(run: Trained) -> Figure:
    """Training and validation objective, and the ELBO at beta = 1, by step."""
    looks, best = run.history.looks, run.history.best
    steps = [look.step for look in looks]
    f = figure()
    ax = f.add_subplot()
    beta = run.config.objective.beta
    training = [look.train_objective for look in looks]
    ax.plot(steps, training, color=GREY, lw=1, label="training objective, beta of the step")
    ax.plot(steps, [look.objective for look in looks], color=BLUE, label=f"validation objective, beta = {beta:g}")
    ax.plot(steps, [-look.elbo for look in looks], color=ORANGE, ls="--", label="validation negative ELBO (beta = 1)")
    ax.axvline(best.step, color="black", lw=0.8, ls=":", label=f"kept: step {best.step}")
    values = np.array([look.objective for look in looks])
    low, high = np.quantile(values, [0.0, 0.9])
    ax.set_ylim(low - 0.3 * (high - low) - 1, high + 0.3 * (high - low) + 1)
    ax.set(xlabel="step", ylabel="nats per row", title=f"{run.config.name}: objective")
    ax.legend(fontsize=8)
    return f


def histogram(normal: NDArray[Any], odd: NDArray[Any], threshold: float | None, title: str) -> Figure:
    """Scores of normal rows and of anomalies, on a scale that shows both; the threshold where there is one."""
    f = figure()
    ax = f.add_subplot()
    everything = np.concatenate([normal, odd])
    far = np.quantile(everything, 0.98) > 5 * (np.quantile(normal, 0.99) - normal.min()) + normal.min()
    if far:
        lift = 1 - normal.min()
        bins = np.geomspace(1, everything.max() + lift, 50) - lift
        ax.set_xscale("function", functions=(lambda v: np.log(np.maximum(v + lift, 1e-3)), lambda u: np.exp(u) - lift))
    else:
        bins = np.linspace(everything.min(), everything.max(), 50)
    ax.hist(normal, bins, color=BLUE, alpha=0.7, label=f"normal test rows ({len(normal)})")
    if len(odd):
        ax.hist(odd, bins, color=ORANGE, alpha=0.6, label=f"anomalies ({len(odd)})")
    if threshold is not None:
        ax.axvline(threshold, color="black", ls="--", lw=1, label=f"alpha = {ALPHA}: odder than this")
    ax.set(xlabel="score = -ELBO, nats (higher is odder)", ylabel="rows", title=title)
    if far:
        ax.set_xticks(_ticks(bins[0], bins[-1], lift))
    f.legend(fontsize=8, loc="outside lower center", ncols=3)
    return f


def _ticks(low: float, high: float, lift: float) -> list[float]:
    """A few round numbers, evenly apart on the bent scale."""
    places = np.geomspace(1, high + lift, 7) - lift
    return sorted({float(f"{place:.2g}") for place in places if low <= float(f"{place:.2g}") <= high})


def scores(run: Trained, model: Model, held_out: Calibration) -> Figure:
    """Scores of test rows and anomalies, with the threshold at alpha = 0.05."""
    normal = model.elbo(run.rows.x[run.parts.test]).score
    odd = model.elbo(run.rows.x[run.parts.anomalies]).score if len(run.parts.anomalies) else np.zeros(0)
    threshold = held_out.threshold(ALPHA) if held_out.smallest_alpha <= ALPHA else None
    return histogram(normal, odd, threshold, f"{run.config.name}: score of rows never trained on")


def latents(run: Trained, model: Model) -> Figure:
    """Posterior means in the two latent dimensions that vary most, and each dimension's KL."""
    parts = run.parts
    normal = model.encode(run.rows.x[parts.test])
    spread = normal.mu.var(axis=0)
    kl = (0.5 * (normal.mu**2 + normal.sigma**2 - 1) - np.log(normal.sigma)).mean(axis=0)
    order = np.argsort(-spread)
    a, b = order[0], order[min(1, len(order) - 1)]
    f = figure(9, 4)
    left, right = f.subplots(1, 2)
    left.scatter(normal.mu[:MOST_POINTS, a], normal.mu[:MOST_POINTS, b], s=8, color=BLUE, label="normal test rows")
    if len(parts.anomalies):
        odd = model.encode(run.rows.x[parts.anomalies[:MOST_POINTS]]).mu
        left.scatter(odd[:, a], odd[:, b], s=8, color=ORANGE, alpha=0.6, label="anomalies")
        left.legend(fontsize=8)
    left.set(xlabel=f"mu, dimension {a}", ylabel=f"mu, dimension {b}", title="latent map")
    right.bar(range(len(kl)), np.sort(kl)[::-1], color=BLUE)
    right.set(xlabel="latent dimension, by its KL", ylabel="nats per row", title="KL by latent dimension")
    return f


def samples(run: Trained, model: Model) -> Figure:
    """Pictures drawn from the model; for tables the quantiles of its draws against the data's, by column."""
    if run.rows.is_image:
        means = model.sample(64, seed=run.config.training.seed).samples
        return grid(means, 8, f"{run.config.name}: E[x|z] of z drawn from the prior")
    test = run.rows.x[run.parts.test]
    drawn = model.sample(max(1000, len(test)), seed=run.config.training.seed, observe=True).samples
    levels = np.linspace(0.05, 0.95, 19)
    loc, scale = test.mean(axis=0), np.where(test.std(axis=0) > 0, test.std(axis=0), 1.0)
    f = figure(5, 4.4)
    ax = f.add_subplot()
    data = np.quantile((test - loc) / scale, levels, axis=0)
    model_quantiles = np.quantile((drawn - loc) / scale, levels, axis=0)
    ax.plot(data, model_quantiles, color=BLUE, alpha=0.4, lw=1)
    ends = [data.min(), data.max()]
    ax.plot(ends, ends, color="black", lw=0.8, ls="--")
    ax.set(
        xlabel="quantiles of test rows, in standard deviations",
        ylabel="quantiles of draws of the model",
        title=f"{run.config.name}: each column, 5 % to 95 %",
    )
    return f


def reconstructions(run: Trained, model: Model) -> Figure:
    """Test pictures above what their codes give back; for tables each column's error in standard deviations."""
    test = run.rows.x[run.parts.test]
    if run.rows.is_image:
        some = test[:16]
        back = model.decode(model.encode(some).mu).mean
        return grid(np.concatenate([some, back]), 16, f"{run.config.name}: test pictures, and E[x|z = mu] below")
    decoded = model.decode(model.encode(test).mu)
    spread = np.where(test.std(axis=0) > 0, test.std(axis=0), 1.0)
    error = np.sqrt(np.square((test - decoded.mean) / spread).mean(axis=0))
    order = np.argsort(error)[-40:]
    f = figure(6.4, 1 + 0.19 * len(order))
    ax = f.add_subplot()
    ax.barh([run.rows.columns[d] for d in order], error[order], color=BLUE)
    if decoded.scale is not None:
        stated = (decoded.scale / spread).mean(axis=0)
        ax.plot(stated[order], range(len(order)), "o", ms=3, color=ORANGE, label="scale that the model states")
        ax.legend(fontsize=8)
    ax.tick_params(axis="y", labelsize=7)
    ax.set(
        xlabel="root mean square error, in standard deviations", title=f"{run.config.name}: reconstruction by column"
    )
    return f


def grid(pictures: NDArray[Any], columns: int, title: str) -> Figure:
    """Pictures (n, H, W, C), 0..255, in rows of so many columns."""
    n, height, width, channels = pictures.shape
    lines = -(-n // columns)
    sheet = np.full((lines * (height + 1) + 1, columns * (width + 1) + 1, channels), 128.0)
    for i, picture in enumerate(pictures):
        top, left = (i // columns) * (height + 1) + 1, (i % columns) * (width + 1) + 1
        sheet[top : top + height, left : left + width] = picture
    shown = colormaps["gray"](sheet[..., 0] / 255) if channels == 1 else np.clip(sheet / 255, 0, 1)
    f = figure(8, 8 * sheet.shape[0] / sheet.shape[1] + 0.4)
    ax = f.add_subplot()
    ax.imshow(shown, interpolation="nearest")
    ax.set_axis_off()
    ax.set_title(title)
    return f


def card(run: Trained, manifest: Manifest) -> str:
    """The model card, Markdown."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("training"),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        autoescape=False,  # Markdown, of our own figures
    )
    constants = build.constants(run.vae, run.rows.columns)
    return environment.get_template("model-card.md.j2").render(
        run=run, manifest=manifest, config=run.config, constants=constants, best=run.history.best, alpha=ALPHA
    )
