"""The texts and tables of a report: what the model is, and its limits."""

from __future__ import annotations

from vaekit.bundle.calibration import rows_to_resolve
from vaekit.bundle.input_spec import Column, ImageSpec, VectorSpec
from vaekit.bundle.manifest import Manifest
from vaekit.tolerance_rules import ANY
from vaekit_training.evaluate import ALPHA
from vaekit_training.report.facts import Facts
from vaekit_training.report.parts import ReportTable, number, plural

USES = {
    "train": "training of weights and standardisation",
    "validation": "decision when to stop",
    "calibration": "p-values only",
    "test": "metrics; never used for training",
    "anomalies": "metrics; never used for training",
}
OF_KERNELS = {
    "train": "kernels and standardisation",
    "validation": "metrics; other rows of this split are training rows, because they do not decide when to stop",
}
BY_FOLDS = "; each fold also for p-values, of the model trained without it"
INSPECTION = "What was seen in the data"
MOST_LEVELS = 8  # largest number of listed levels of a category


def model(manifest: Manifest) -> str:
    """What the model is, in one or two sentences."""
    if manifest.prior.name == "kernel":
        said = (
            "A kernel density over training rows with an exact ELBO, which needs no training steps: a new row is as "
            "usual as the training rows near it are many. As a variational autoencoder, its latent vector z is the "
            f"standardised row ({plural(manifest.latent_dim, 'dimension')}), p(x|z) is a narrow normal density around "
            f"z, {prior(manifest)}."
        )
        return said + _mixture(manifest, "fold models")
    likelihood = manifest.likelihood
    details = [f"scale: {likelihood.scale}"] if likelihood.scale else []
    details += [f"{likelihood.components} logistics per value"] if likelihood.components else []
    name = likelihood.name.replace("_", " ") + " likelihood" + (f" ({', '.join(details)})" if details else "")
    said = f"A variational autoencoder: {name}, {plural(manifest.latent_dim, 'latent dimension')}, {prior(manifest)}."
    return said + _mixture(manifest, "VAEs")


def _mixture(manifest: Manifest, of: str) -> str:
    """A sentence on the members of an ensemble; empty if there is one VAE."""
    if manifest.members == 1:
        return ""
    return (
        f" It is an ensemble of {manifest.members} {of}: its density is the mean of their densities. Each latent "
        "vector belongs to one member."
    )


def prior(manifest: Manifest) -> str:
    """The prior, as part of a sentence."""
    if manifest.prior.name == "normal":
        return "prior N(0, I)"
    each = " per member" if manifest.members > 1 else ""
    rows = plural(manifest.prior.components or 0, "training row")
    if manifest.prior.name == "kernel":
        return f"and its prior is a kernel density around {'up to ' if each else ''}{rows}{each}"
    return f"prior: mean of the posteriors of {rows}{each}"


def scores(manifest: Manifest) -> str:
    """What a score means: unit, direction, normalisation."""
    of = "probabilities" if manifest.likelihood.mass else "densities"
    if manifest.likelihood.name == "mixed" and not manifest.likelihood.mass:
        of = "densities (probabilities for counts, categories and binary values)"
    said = (
        f"A score is the negative ELBO in nats, summed over dimensions; higher is more anomalous. The ELBO uses "
        f"normalised {of} in the raw units of the data."
    )
    if manifest.prior.name == "kernel":
        said += " With a kernel prior it is very close to log p(x), because the posterior is narrow."
    if manifest.input.may_be_missing:
        said += " If cells are missing, the ELBO is over the observed columns of the row."
    return said


def training_rows_in_bundle(manifest: Manifest) -> str | None:
    """A warning if the bundle contains latents of training rows, otherwise None."""
    if manifest.prior.name == "normal":
        return None
    count = manifest.training_rows
    if manifest.exemplars is not None:
        return (
            f"This bundle holds {plural(count, 'training row')} as they were given: its prior has a kernel around each "
            "of them, and privacy.show_exemplars is true. Everyone who has the bundle or may score rows can read these "
            "rows: see Privacy."
        )
    if manifest.prior.name == "kernel":
        return (
            f"This bundle contains {plural(count, 'training row')}: its prior has a kernel around each of them. "
            "Everyone who has the bundle can compute these rows, and everyone who may call /sample or /elbo can learn "
            "about them: see Privacy."
        )
    return (
        f"This bundle contains latents of training rows: its prior consists of mu and sigma of "
        f"{plural(count, 'training row')}. Everyone who has the bundle can approximately reconstruct these rows, and "
        "everyone who may call /sample or /elbo can learn about them: see Privacy."
    )


def privacy(manifest: Manifest) -> str:
    """What the bundle reveals about training rows, with the measured figures."""
    if manifest.prior.name != "normal":
        low = "accepts" if manifest.least_temperature == 0 else "refuses"
        said = f"The prior is made of training rows. /sample {low} temperatures below 1. "
        shown = "The bundle holds these rows as they were given, and shows those most similar to a row. "
        said += shown if manifest.exemplars is not None else ""
    else:
        said = "The prior is N(0, I): no training rows are in the bundle. "
    value = {name: metric.value for name, metric in manifest.metrics.items()}
    if "membership_auc" not in value:
        return said + "What samples and the KL reveal about training rows was not measured."
    cold, others = value["training_rows_reconstructed"], value["held_out_rows_reconstructed"]
    warm, others_warm = value["training_rows_reconstructed_at_1"], value["held_out_rows_reconstructed_at_1"]
    return said + (
        f"kl alone separates training rows from held-out rows with an AUC of {value['membership_auc']:.3f} (0.5: "
        f"not at all). Samples at temperature 0 come near {cold:.0%} of the training rows and {others:.0%} of the "
        f"held-out rows; samples at temperature 1 come near {warm:.0%} and {others_warm:.0%}. The table of figures "
        "says what near means and how many samples there were."
    )


def binarised(manifest: Manifest) -> str | None:
    """How the model binarises values; None if it does not."""
    likelihood = manifest.likelihood
    if likelihood.binarize == "threshold":
        return (
            f"The likelihood is that of binarised values: raw values of {likelihood.threshold:g} and above are ones. "
            "Two rows with the same binarised values have the same score."
        )
    if likelihood.binarize == "dynamic":
        return (
            "The likelihood is that of binarised values. At each training step every value was drawn again, with the "
            "grey value as the probability of a one. Scores use one fixed set of random thresholds."
        )
    return None


def inputs(manifest: Manifest) -> str:
    """What an input row is."""
    spec = manifest.input
    if isinstance(spec, ImageSpec):
        values = "0 or 255" if spec.two_valued else "0..255"
        return f"Images of {spec.height} x {spec.width} x {spec.channels}, 8 bits, {values}."
    said = f"Rows of {plural(spec.dim, 'column')}, in the order below."
    missing = sum(column.may_be_missing for column in spec.columns)
    said += f" Cells of {plural(missing, 'column')} may be missing." if missing else ""
    return said + (f" Alarms may be removed by tolerance rules: {_rules(manifest)}." if manifest.ignore else "")


def _rules(manifest: Manifest) -> str:
    """The deviations that tolerance rules permit, by column."""
    each = []
    for name, rule in (manifest.ignore or {}).items():
        sides = {"above": rule.above, "below": rule.below}
        said = [f"{size if size == ANY else f'up to {size:g}'} {side}" for side, size in sides.items() if size]
        each.append(f"{name} {' and '.join(said)} the expected value")
    return "; ".join(each)


def columns(facts: Facts) -> ReportTable | None:
    """Table of name, kind, likelihood and missing cells of each column; None for images."""
    spec, of = facts.manifest.input, facts.manifest.likelihood.columns
    if not isinstance(spec, VectorSpec):
        return None
    head = ["column", "kind"] + (["likelihood"] if of else []) + (["missing"] if spec.may_be_missing else [])
    lines = []
    for d, column in enumerate(spec.columns):
        line = [column.name, kind(column)] + ([of[d].replace("_", " ")] if of else [])
        if spec.may_be_missing:
            line.append(f"{facts.missing[d]:.1%}" if column.may_be_missing else "never")
        lines.append(tuple(line))
    caption = f"Missing: share of {plural(facts.missing_of, 'training row')}." if spec.may_be_missing else ""
    return ReportTable(tuple(head), tuple(lines), caption, words=(0, 1, 2) if of else (0, 1))


def kind(column: Column) -> str:
    """The kind of a column, with its levels or constant value."""
    if column.constant is not None:
        return f"constant {column.constant.value:g}"
    if column.levels is None:
        return column.kind
    shown = ", ".join(column.levels[:MOST_LEVELS])
    more = f" and {len(column.levels) - MOST_LEVELS} more" if len(column.levels) > MOST_LEVELS else ""
    return f"category: {shown}{more}"


def constants(manifest: Manifest) -> str | None:
    """A paragraph on columns that are constant in the training rows; None if there are none."""
    spec = manifest.input
    names = [column.name for column in spec.columns if column.constant] if isinstance(spec, VectorSpec) else []
    if not names:
        return None
    unused = "z does not contain" if manifest.prior.name == "kernel" else "The networks do not get"
    return (
        f"Constant in the training rows: {', '.join(names)}. {unused} these columns. Each is modelled "
        "as a Gaussian at its value with a scale of one millionth of the value, so a row with another value gets a "
        "very high score."
    )


def data(facts: Facts) -> ReportTable:
    """Table of the number of rows in each split, and what they are used for."""
    sizes = facts.manifest.provenance.rows
    uses, splits = USES | (OF_KERNELS if facts.has_kernels else {}), facts.run.splits
    if splits.folds:
        uses["train"] += BY_FOLDS
    if facts.has_kernels and (splits.folds or splits.counts):
        uses["validation"] = USES["test"]
    lines = tuple((name, f"{sizes[name]:,}", use) for name, use in uses.items() if sizes.get(name))
    return ReportTable(("split", "rows", "used for"), lines, words=(0, 2))


def figures(manifest: Manifest) -> ReportTable:
    """Table of metrics with standard errors."""
    lines = tuple(
        (
            name,
            number(metric.value, 6),
            "" if metric.standard_error is None else f"\u00b1 {number(metric.standard_error, 2)}",
            "" if metric.n is None else f"{metric.n:,}",
            metric.unit or "",
        )
        for name, metric in manifest.metrics.items()
    )
    return ReportTable(("figure", "value", "standard error", "rows", "unit"), lines, words=(0, 4))


def p_value(facts: Facts) -> str:
    """What a p-value assumes, and the smallest possible p-value."""
    calibration = facts.manifest.calibration
    assert calibration is not None  # a run is published with one
    entry = calibration.entries[0]
    said, of_fold = f"{calibration.assumption} ", ""
    if entry.folds is not None:
        of_fold = " in a fold"
        said += (
            f"The p-value is the median of {len(entry.folds)} p-values, one per fold, and P(p-value <= alpha) "
            f"is at most {entry.guarantee:.3g} alpha. "
        )
    said += (
        f"With {plural(entry.rows_per_p_value, 'calibration row')}{of_fold} the smallest p-value is "
        f"{number(1 / (1 + entry.rows_per_p_value))}, and with a smaller alpha no row is an anomaly."
    )
    if facts.manifest.novelty is not None:
        said += (
            " A row with a level unseen in training, a number outside its column's kind, or more missing cells than "
            "any training row is novel: it ranks above all rows that are not."
        )
    return said


def inspection(facts: Facts) -> tuple[str, ...]:
    """What was seen in the data, as paragraphs."""
    return facts.run.inspection or ("Nothing looks wrong.",)


def warnings(facts: Facts) -> list[str]:
    """All warnings about the model, as sentences."""
    found = list(facts.run.history.warnings)
    calibration = facts.manifest.calibration
    if calibration is not None and (n := calibration.entries[0].rows_per_p_value) < rows_to_resolve(ALPHA):
        of_fold = "" if calibration.entries[0].folds is None else " in a fold"
        found.append(
            f"There are only {plural(n, 'calibration row')}{of_fold}; alpha = {ALPHA} needs at least "
            f"{rows_to_resolve(ALPHA)}."
        )
    return found + [text for text in (training_rows_in_bundle(facts.manifest),) if text]


def networks(facts: Facts) -> ReportTable:
    """Table of parameters and floating-point operations of the networks."""
    lines = []
    for name, cost in (("encoder", facts.encoder), ("decoder", facts.decoder)):
        lines.append((name, f"{cost.parameters:,}", f"{cost.flops:,}", f"{cost.widest:,}"))
    k = facts.manifest.draws.default
    score = facts.encoder.flops + k * facts.decoder.flops
    lines.append((f"a score, K = {k}", f"{facts.encoder.parameters + facts.decoder.parameters:,}", f"{score:,}", ""))
    return ReportTable(
        ("network", "parameters", "FLOP per row", "widest layer"),
        tuple(lines),
        "Floating-point operations of matrices and convolutions, two per multiply-add, for one draw per row"
        + (" and all members." if facts.manifest.members > 1 else "."),
    )


def origin(manifest: Manifest) -> ReportTable:
    """Table of the provenance of the bundle, and of what is needed to repeat the run."""
    made = manifest.provenance
    split = made.config["data"]["split"]
    lines = [
        ("data", made.data or ""),
        ("split", f"{split}, seed {made.seed}"),
        ("sha256 of the rows", made.data_sha256 or ""),
        ("commit", made.commit or "none"),
        *((package, version) for package, version in made.versions.items()),
    ]
    return ReportTable(("what", "which"), tuple(lines), words=(0, 1))
