"""The format of a bundle on disk, and its reader and writer. Imports numpy and pydantic only."""

from vaekit.bundle.calibration import Calibration
from vaekit.bundle.discoveries import benjamini_hochberg
from vaekit.bundle.draws import default_eps
from vaekit.bundle.folds import FoldCalibration
from vaekit.bundle.grouped import AnyCalibration, GroupedCalibration
from vaekit.bundle.input_spec import ImageSpec, VectorSpec
from vaekit.bundle.manifest import Manifest
from vaekit.bundle.models_folder import find, models, versions
from vaekit.bundle.read import Bundle, open_bundle
from vaekit.bundle.write import publish

__all__ = [
    "AnyCalibration",
    "Bundle",
    "Calibration",
    "FoldCalibration",
    "GroupedCalibration",
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
