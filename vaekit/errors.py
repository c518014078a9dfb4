"""The tree of errors that are raised on purpose. vaekit_service/http/problems.py maps each to an HTTP status.

VaeError
├── InputError (ValueError)      the caller's rows or parameters: the message names row, feature and value
│   └── NotResolvable            an alpha below what the calibration can tell
├── UnknownModel (LookupError)   no such model or version
├── BundleError                  a bundle that cannot be served
│   ├── FormatError              no manifest, an unreadable one, or a newer major format
│   ├── IntegrityError           a file that is missing, or not the one the manifest signed
│   ├── ForbiddenGraph           external data or operators of an unknown domain
│   └── GoldenMismatch           the graphs do not give the golden outputs here
├── NotFinite (ArithmeticError)  a graph gave NaN or an infinity: the answer is withheld
├── DeviceError (RuntimeError)   the device that was asked for is not to be had
├── MissingExtra (ImportError)   a package of an extra is absent: the message says what to install
├── ConfigError (ValueError)     a training configuration or setting that is refused
├── TrainingError (RuntimeError) a training run that must not be published
│   └── Interrupted              one that was told to stop, and can be gone on with
└── ClientError                  see vaekit/client/errors.py
"""


class VaeError(Exception):
    """Base of all errors that this project raises on purpose."""


class InputError(VaeError, ValueError):
    """Rows or parameters that are refused."""


class NotResolvable(InputError):
    """An alpha smaller than the calibration can tell apart, 1 / (n + 1)."""


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
    """Golden rows whose outputs are not reproduced on this machine."""


class NotFinite(VaeError, ArithmeticError):
    """A graph gave NaN or an infinity; nothing of it is answered."""


class DeviceError(VaeError, RuntimeError):
    """A device that was asked for and cannot be had."""


class MissingExtra(VaeError, ImportError):
    """A package that belongs to an extra which is not installed."""


class ConfigError(VaeError, ValueError):
    """A configuration that is refused."""


class TrainingError(VaeError, RuntimeError):
    """A training run whose result must not be published."""


class Interrupted(TrainingError):
    """A training run that was told to stop before its end."""
