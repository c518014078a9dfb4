"""The contract that a writer and a reader of bundles must agree on byte for byte. numpy and pydantic only."""

from vaekit.bundle.calibration import Calibration
from vaekit.bundle.discoveries import benjamini_hochberg
from vaekit.bundle.draws import default_eps
from vaekit.bundle.encode import encode, encode_numbers
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
    "encode",
    "encode_numbers",
    "find",
    "models",
    "open_bundle",
    "publish",
    "versions",
]
