"""What a foreign VAE loss equals here, and what a run of ours minimised."""

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
