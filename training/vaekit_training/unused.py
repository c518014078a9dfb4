"""Finds settings of a config that have no effect."""

from __future__ import annotations

from typing import Any

from vaekit_training import recipe
from vaekit_training.config import LOCATION_SCALE, Config
from vaekit_training.sections import ConfigSection


def unused(config: Config) -> list[str]:
    """A sentence for each setting that differs from its default but has no effect in this config."""
    network, likelihood, objective = config.network.name, config.likelihood, config.objective
    mixed, aggregate, kernel = likelihood.name == "mixed", *(config.prior.name == n for n in ("aggregate", "kernel"))
    dense, exemplars = network == "mlp" and not kernel, aggregate or kernel
    has_scale, is_elbo = likelihood.name in (*LOCATION_SCALE, "mixed"), objective.name == "elbo"
    has_logistics = "discretized_logistic" in (likelihood.name, likelihood.count if mixed else None)
    counts = {
        "data.anomalies": (config.data.label is not None, "data.label"),
        "data.shuffle_buffer": (config.data.read == "stream", "data.read = 'stream'"),
        "network.hidden": (dense, "network.name = 'mlp'"),
        "network.residual": (dense, "network.name = 'mlp'"),
        "network.layer_norm": (dense, "network.name = 'mlp'"),
        "network.channels": (not dense, "network.name = 'conv' or 'resnet'"),
        "network.blocks": (network == "resnet", "network.name = 'resnet'"),
        "likelihood.scale_floor": (has_scale, "a likelihood with a scale"),
        "likelihood.real": (mixed, "likelihood.name = 'mixed'"),
        "likelihood.count": (mixed, "likelihood.name = 'mixed'"),
        "likelihood.components": (
            has_logistics,
            "likelihood.name = 'discretized_logistic', or likelihood.count with it",
        ),
        "prior.components": (exemplars, "prior.name = 'aggregate' or 'kernel'"),
        "prior.start": (aggregate, "prior.name = 'aggregate'"),
        "privacy.allow_low_temperature": (exemplars, "prior.name = 'aggregate' or 'kernel'"),
        "privacy.show_exemplars": (
            config.may_show_exemplars,
            "prior.name = 'kernel' without data.folds",
        ),
        "calibration.least_rows": (bool(config.calibration.by), "calibration.by"),
        "objective.schedule": (is_elbo, "objective.name = 'elbo'"),
        "objective.warmup": (
            is_elbo and objective.schedule != "constant",
            "objective.name = 'elbo' and a schedule other than 'constant'",
        ),
        "objective.cycles": (objective.schedule == "cyclical", "objective.schedule = 'cyclical'"),
    }
    if kernel:
        counts |= {
            f"{section}.{key}": (False, "networks, and prior.name = 'kernel' has none")
            for section in ("network", "objective", "training")
            for key in getattr(config, section).model_dump(exclude_defaults=True)
            if key not in recipe.UNLESS.get(section, set())
        }
    found = []
    for where, (is_used, need) in counts.items():
        section, key = where.split(".")
        settings: ConfigSection = getattr(config, section)
        if not is_used and key in settings.model_dump(exclude_defaults=True):
            found.append(f"{where} = {_shown(getattr(settings, key))} has no effect: it needs {need}")
    return found


def _shown(value: Any) -> str:
    return str(list(value)) if isinstance(value, tuple) else repr(value)
