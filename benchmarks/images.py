"""Compares scores of images with one class left out: the ELBO of vaekit's image models, other scores, and neighbours.

    python -m benchmarks.images [--data DIR] [--classes 3 8] --out build/benchmarks/images.json
    python -m benchmarks.images --tables FOLDER [--data DIR]     write the same images as tables, for other detectors
    python -m benchmarks.detection --data FOLDER --seeds 1 --out build/benchmarks/image-tables.json

DIR holds NAME.npz with two arrays: images (n, H, W) or (n, H, W, C) uint8, and their classes (n,), for example MNIST.
The digits that scikit-learn ships are always included. A model is trained on half of the images of all classes but one.
The other half and all images of the class left out are scored; that class is the anomaly. AUROC, one split.
"""

from __future__ import annotations

import argparse
import io
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from rich.progress import track
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA
from sklearn.metrics import roc_auc_score

from benchmarks.detection import sets
from benchmarks.detection.methods import in_torch, knn_mean, ours
from benchmarks.detection.sets import Split
from benchmarks.report import Figure, publish

Array = NDArray[np.float64]
Images = NDArray[np.uint8]

SHIPPED = "digits"
MOST_ROWS, COMPONENTS, MUTATED = 9_000, 32, 0.2
PLAIN = ["prior.name=normal"]  # leaves out the settings for images
PACKAGES = ["torch", "scikit-learn", "numpy", "pillow"]


def loaded(folder: Path | None, name: str) -> tuple[Images, NDArray[np.int64]]:
    """Images (n, H, W, C) and their classes (n,)."""
    if name == SHIPPED:
        shipped = load_digits()
        x, y = np.round(shipped.images * (255 / 16)).astype(np.uint8), shipped.target
    else:
        assert folder is not None
        with np.load(folder / f"{name}.npz") as arrays:
            x, y = (arrays[key] for key in arrays.files[:2])
    return x if x.ndim == 4 else x[..., None], np.asarray(y).ravel().astype(np.int64)


def split(x: Images, y: NDArray[np.int64], odd: int) -> tuple[Images, Images, NDArray[np.bool_]]:
    """Training images, test images, and which of these are of the class left out."""
    flat = sets.split(x.reshape(len(x), -1), y == odd, 0, protocol="clean", most_rows=MOST_ROWS)
    train, test = (part.reshape(-1, *x.shape[1:]).astype(np.uint8) for part in (flat.train, flat.test))
    return train, test, flat.is_anomaly


def trained(images: Images, settings: Sequence[str]) -> Any:
    """A model of the images with vaekit's defaults and these settings."""
    from vaekit.detector_training import config_of
    from vaekit_training.data.load import of_array
    from vaekit_training.run import run

    config = config_of(images, settings=settings, seed=0)
    return run(config, device="cpu", rows=of_array(images, config=config.data, likelihood=config.likelihood))


def measure(train: Images, test: Images, is_odd: NDArray[np.bool_]) -> dict[str, float]:
    """The AUROC of each score."""
    own, plain = in_torch(trained(train, ()), test), in_torch(trained(train, PLAIN), test)
    elbo = plain.elbo.numpy()
    background = in_torch(trained(mutated(train), PLAIN), test).elbo.numpy()
    flat = [part.reshape(len(part), -1).astype(np.float64) for part in (train, test)]
    components = PCA(min(COMPONENTS, flat[0].shape[1])).fit(flat[0])
    low = Split(components.transform(flat[0]), components.transform(flat[1]), is_odd)
    scores = {
        "plain, -ELBO": -elbo,
        "plain, KL alone": plain.kl.numpy(),
        "plain, -ELBO - size as PNG": -elbo - np.log(2.0) * png_bits(test),
        "plain, ratio to a background model": background - elbo,
        "settings for images, -ELBO": -own.elbo.numpy(),
        "settings for images, KL alone": own.kl.numpy(),
        f"table of {COMPONENTS} principal components, -ELBO": ours([], exported=False)(low, 0),
        "kNN-mean on pixels": knn_mean(_Unscaled(flat[0], flat[1], is_odd), 0),
        f"kNN-mean on {COMPONENTS} principal components": knn_mean(_Unscaled(low.train, low.test, is_odd), 0),
    }
    return {name: float(roc_auc_score(is_odd, score)) for name, score in scores.items()}


class _Unscaled(Split):
    def standardised(self) -> Split:
        """The split itself: pixels have one unit."""
        return self


def mutated(images: Images) -> Images:
    """Images in which a share of the pixels is random, for a model of the background (Ren et al. 2019)."""
    rng = np.random.default_rng(0)
    is_mutated = rng.random(images.shape) < MUTATED
    return np.where(is_mutated, rng.integers(0, 256, images.shape, dtype=np.uint8), images)


def png_bits(images: Images) -> Array:
    """The size of each image as PNG, in bits: a bound of its complexity (Serra et al. 2020)."""

    def bits(image: Images) -> int:
        file = io.BytesIO()
        Image.fromarray(image[..., 0] if image.shape[-1] == 1 else image).save(file, "PNG", optimize=True)
        return 8 * file.tell()

    return np.array([bits(image) for image in images], dtype=np.float64)


def write_tables(folder: Path, parts: Callable[[], Any]) -> None:
    """Write the images of each class left out as NAME.npz with X (n, D) and y (n,)."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, odd, x, y in parts():
        rows = np.random.default_rng(0).permutation(len(x))[:MOST_ROWS]
        np.savez_compressed(folder / f"{name}-{odd}.npz", X=x[rows].reshape(len(rows), -1), y=y[rows] == odd)


def main(arguments: Sequence[str]) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.images", description=__doc__)
    parser.add_argument("--data", type=Path, help="folder of NAME.npz with images and classes")
    parser.add_argument("--sets", nargs="+", help="only these sets")
    parser.add_argument("--classes", nargs="+", type=int, help="only these classes are left out")
    parser.add_argument("--tables", type=Path, help="write the images as tables to this folder, and end")
    parser.add_argument("--out", type=Path, default=Path("build/benchmarks/images.json"))
    options = parser.parse_args(arguments)
    found = [SHIPPED, *sorted(path.stem for path in options.data.glob("*.npz"))] if options.data else [SHIPPED]

    def parts() -> Any:
        for name in options.sets or found:
            x, y = loaded(options.data, name)
            for odd in options.classes or sorted(set(y.tolist())):
                yield name, odd, x, y

    if options.tables:
        return write_tables(options.tables, parts)
    facts: dict[str, dict[str, float]] = {}
    for name, odd, x, y in track(list(parts()), "classes left out", transient=True):
        facts[f"{name}, {odd}"] = measure(*split(x, y, odd))
    by_set: dict[str, dict[str, list[float]]] = {}
    for key, values in facts.items():
        for score, value in values.items():
            by_set.setdefault(key.split(",")[0], {}).setdefault(score, []).append(100 * value)
    figures = [
        Figure(f"{name}: {score}", float(np.mean(values)), "AUROC, mean", min(values), max(values), better="higher")
        for name, scores in by_set.items()
        for score, values in scores.items()
    ]
    return publish(options.out, f"Images with one class left out, {len(facts)} cases", figures, PACKAGES, cases=facts)


if __name__ == "__main__":
    main(sys.argv[1:])
