"""All errors that vaekit raises on purpose. vaekit_service/http/problems.py maps each to an HTTP status.

VaeError
├── InputError (ValueError)      invalid rows or parameters: the message names row, feature and value
│   └── NotResolvable            an alpha below the smallest p-value of the calibration
├── UnknownModel (LookupError)   no such model or version
├── BundleError                  a bundle that cannot be served
│   ├── FormatError              no manifest, an unreadable one, or a newer major format
│   ├── IntegrityError           a file that is missing, or whose sha256 differs from the manifest's
│   ├── ForbiddenGraph           external data or operators of an unknown domain
│   └── GoldenMismatch           the graphs do not reproduce the golden outputs on this machine
├── NotFinite (ArithmeticError)  a graph gave NaN or an infinity: no result is returned
├── DeviceError (RuntimeError)   the requested device is not available
├── StorageError (OSError)       a disk or folder that cannot be written: it names the path
├── StoreError (OSError)         an object store or a hub that cannot be reached, or refuses: it names the URL
├── MissingExtra (ImportError)   a package of an extra is not installed: the message says what to install
├── ConfigError (ValueError)     an invalid training configuration or setting
├── TrainingError (RuntimeError) a training run that must not be published
│   └── Interrupted              a run that a signal has stopped; it can be resumed
└── ClientError                  see vaekit/client/errors.py
"""


class VaeError(Exception):
    """Base of all errors that this project raises on purpose."""


class InputError(VaeError, ValueError):
    """Invalid rows or parameters."""


class NotResolvable(InputError):
    """An alpha below the smallest p-value of the calibration, 1 / (n + 1)."""


class UnknownModel(VaeError, LookupError):
    """No model or version of that name."""


class BundleError(VaeError):
    """A bundle that cannot be served."""


class FormatError(BundleError):
    """A manifest that is absent, unreadable or of a newer major format."""


class IntegrityError(BundleError):
    """A file that is missing or differs from its sha256 in the manifest."""


class ForbiddenGraph(BundleError):
    """A graph with external data or with operators outside the standard domain."""


class GoldenMismatch(BundleError):
    """The graphs do not reproduce the golden outputs on this machine."""


class NotFinite(VaeError, ArithmeticError):
    """A graph gave NaN or an infinity; no result is returned."""


class DeviceError(VaeError, RuntimeError):
    """The requested device is not available."""


class StorageError(VaeError, OSError):
    """A disk or folder that cannot be written: full, read-only, or absent."""


class StoreError(VaeError, OSError):
    """An object store or a hub that cannot be reached, or that refuses."""


class MissingExtra(VaeError, ImportError):
    """A package of an extra is not installed."""


class ConfigError(VaeError, ValueError):
    """An invalid configuration."""


class TrainingError(VaeError, RuntimeError):
    """A training run whose result must not be published."""


class Interrupted(TrainingError):
    """A signal has stopped a training run before its end."""
