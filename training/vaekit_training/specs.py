"""Describes a trained VAE's input, likelihood and prior for the manifest."""

from __future__ import annotations

from vaekit.bundle.input_spec import Column, Constant, ImageSpec, VectorSpec
from vaekit.bundle.manifest import LikelihoodSpec, PriorSpec
from vaekit.bundle.novelty import Novelty
from vaekit_training.config import Config
from vaekit_training.data.load import Rows
from vaekit_training.data.split import Splits
from vaekit_training.features import Binarize, Standardize
from vaekit_training.folds import AnyVAE, FoldModels
from vaekit_training.likelihoods import Mixed
from vaekit_training.prior import Aggregate, Normal
from vaekit_training.rows_likelihood import family

SCALED = ("gaussian", "student_t", "laplace", "mixed")  # likelihoods that use likelihood.scale


def input_spec(rows: Rows, config: Config, vae: AnyVAE) -> VectorSpec | ImageSpec:
    """The model's input: an image size, or columns."""
    if rows.is_image:
        height, width, channels = rows.x.shape[1:]
        two_valued = config.likelihood.name == "bernoulli" and config.likelihood.binarize == "none"
        resize = config.data.resize is not None
        return ImageSpec(height=height, width=width, channels=channels, two_valued=two_valued, resize=resize)
    columns = [
        Column(
            name=name,
            kind=kind,
            levels=levels,
            may_be_missing=may,
            constant=_constant(vae, d),
            missing_values=config.data.missing_values,
        )
        for d, (name, kind, levels, may) in enumerate(
            zip(rows.columns, rows.kinds, rows.levels, rows.may_be_missing, strict=True)
        )
    ]
    return VectorSpec(columns=tuple(columns), window=None if rows.place is None else rows.place.window)


def _constant(vae: AnyVAE, d: int) -> Constant | None:
    features = vae.features
    if not isinstance(features, Standardize) or features.active[d]:
        return None
    return Constant(value=float(features.loc[d]), scale=float(features.scale[d]))


def likelihood_spec(rows: Rows, config: Config, vae: AnyVAE) -> LikelihoodSpec:
    """The model's p(x|z): its name, parameters, and whether it is a probability or a density."""
    settings, features = config.likelihood, vae.features
    mass = not bool(features.density.any())
    scaled = settings.name in SCALED
    of_bins = settings.name == "discretized_logistic" or (
        settings.name == "mixed" and settings.count == "discretized_logistic" and "count" in rows.kinds
    )
    binarized = isinstance(features, Binarize)
    cut = features.threshold[0].item() if isinstance(features, Binarize) and settings.binarize == "threshold" else None
    return LikelihoodSpec(
        name=settings.name,
        parameters=vae.likelihood.parameters_in_raw_units,
        columns=tuple(family(config, kind) for kind in rows.kinds) if isinstance(vae.likelihood, Mixed) else None,
        scale=_scale(settings.scale) if scaled else None,
        components=settings.components if of_bins else None,
        mass=mass,
        binarize=settings.binarize if settings.name == "bernoulli" else None,
        threshold=cut,
        bits_per_dim_of=("binarised pixels" if binarized else "pixels") if rows.is_image and mass else None,
    )


def _scale(scale: str | float | tuple[str, ...]) -> str:
    return scale if isinstance(scale, str) else "by member" if isinstance(scale, tuple) else "fixed"


def novelty(rows: Rows, splits: Splits) -> Novelty | None:
    """How novel rows are scored; None for images."""
    if rows.is_image:
        return None
    return Novelty(rows=splits.trained_on, most_missing=rows.statistics(splits.train).most_missing)


def prior_spec(vae: AnyVAE) -> PriorSpec:
    """The model's p(z); for fold models with the largest number of components."""
    priors = vae.prior.each if isinstance(vae, FoldModels) else [vae.prior]
    if isinstance(priors[0], Normal):
        return PriorSpec()
    counts = [prior.row.numel() for prior in priors if not isinstance(prior, Normal)]
    return PriorSpec(name="aggregate" if isinstance(priors[0], Aggregate) else "kernel", components=max(counts))
