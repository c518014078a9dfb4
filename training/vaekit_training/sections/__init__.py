"""The sections of a training config, typed and frozen, with a description of every field."""

from vaekit_training.sections.base import ConfigSection
from vaekit_training.sections.data import DataConfig, Fractions
from vaekit_training.sections.model import LikelihoodConfig, NetworkConfig, PriorConfig, PrivacyConfig
from vaekit_training.sections.training import (
    CalibrationConfig,
    DrawsConfig,
    ExportConfig,
    ObjectiveConfig,
    TrainingConfig,
)

__all__ = [
    "CalibrationConfig",
    "ConfigSection",
    "DataConfig",
    "DrawsConfig",
    "ExportConfig",
    "Fractions",
    "LikelihoodConfig",
    "NetworkConfig",
    "ObjectiveConfig",
    "PriorConfig",
    "PrivacyConfig",
    "TrainingConfig",
]
