"""Translates VAE losses of other projects into vaekit's settings, and describes the loss of a vaekit run."""

from vaekit.losses.conventions import CONVENTIONS, Convention, losses_of
from vaekit.losses.equivalent import Equivalent, Explanation, explain
from vaekit.losses.foreign import ForeignLoss
from vaekit.losses.summary import sentence, sentence_of

__all__ = [
    "CONVENTIONS",
    "Convention",
    "Equivalent",
    "Explanation",
    "ForeignLoss",
    "explain",
    "losses_of",
    "sentence",
    "sentence_of",
]
