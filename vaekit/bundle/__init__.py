"""The contract that a writer and a reader of bundles must agree on byte for byte. numpy and pydantic only."""

from vaekit.bundle.calibration import Calibration, benjamini_hochberg
from vaekit.bundle.draws import default_eps
from vaekit.bundle.folds import AnyCalibration, FoldCalibration
from vaekit.bundle.manifest import ImageSpec, Manifest, VectorSpec
from vaekit.bundle.store import Bundle, find, models, open_bundle, publish, versions

__all__ = [
    "AnyCalibration",
    "Bundle",
    "Calibration",
    "FoldCalibration",
    "ImageSpec",
    "Manifest",
    "VectorSpec",
    "benjamini_hochberg",
    "default_eps",
    "find",
    "models",
    "open_bundle",
    "publish",
    "versions",
]
