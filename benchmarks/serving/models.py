"""Makes the two models to serve, as bundles and as weights in .npz files. They are trained for a few steps only."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vaekit.bundle import default_eps
from vaekit_training.config import make_config
from vaekit_training.publish import publish_run
from vaekit_training.run import run
from vaekit_training.vae import VAE

K = 2  # draws per row
ROWS = 2_048
STEPS = 100
SCALES = np.array([1e-3, 1.0, 1e3])  # units of the columns, in turn


@dataclass(frozen=True)
class Shape:
    """Sizes D - hidden - Z of a gaussian VAE whose network gives mean and scale."""

    dims: int
    hidden: int
    latent: int

    @property
    def name(self) -> str:
        return f"d{self.dims}"


SMALL, LARGE = Shape(30, 128, 8), Shape(784, 400, 20)


def rows(shape: Shape, n: int = ROWS) -> NDArray[np.float64]:
    """Correlated rows in raw units, (n, D)."""
    rng = np.random.default_rng(0)
    mixing = rng.standard_normal((8, shape.dims))
    x = rng.standard_normal((n, 8)) @ mixing + 0.5 * rng.standard_normal((n, shape.dims))
    return np.asarray(x * np.resize(SCALES, shape.dims) + 5.0)


def make(shape: Shape, folder: Path) -> Path:
    """Publish under folder/models, write weights and K default draws beside it, and return the path of the bundle."""
    source = folder / f"{shape.name}.npy"
    np.save(source, rows(shape))
    trained = run(
        make_config(
            {
                "name": shape.name,
                "data": {"source": str(source)},
                "network": {"hidden": [shape.hidden], "latent_dim": shape.latent, "activation": "relu"},
                "training": {"steps": STEPS, "evaluate_every": STEPS, "threads": 1},
            }
        ),
        device="cpu",
    )
    manifest = publish_run(trained, folder / "models")
    bundle = folder / "models" / manifest.name / str(manifest.version)
    eps = default_eps(np.load(bundle / "noise.npy"), K).astype(np.float32)  # (K, Z)
    np.save(draws(shape, folder), eps)
    np.savez(folder / f"{shape.name}.npz", eps=eps, **_weights(trained.one))
    return bundle


def draws(shape: Shape, folder: Path) -> Path:
    """The path of the draws that `make` writes."""
    return folder / f"{shape.name}-eps.npy"


def _weights(vae: VAE) -> dict[str, Any]:
    """All parameters of the model by name, for use in plain code."""
    features: Any = vae.features
    found = {"loc": features.loc, "scale": features.scale, "floor": vae.likelihood.floor}
    for name, network in (("encoder", vae.encoder), ("decoder", vae.decoder)):
        found |= {f"{name}.{key}": value for key, value in network.state_dict().items()}
    return {name: value.detach().numpy() for name, value in found.items()}
