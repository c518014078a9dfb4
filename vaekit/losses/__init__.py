"""What a foreign VAE loss equals here, and what a run of ours minimised. Knows arithmetic and words; no data."""

from vaekit.losses.conventions import CONVENTIONS, Convention, losses_of
from vaekit.losses.explain import Equivalent, Explanation, explain
from vaekit.losses.foreign import ForeignLoss
from vaekit.losses.sentence import sentence

__all__ = [
    "CONVENTIONS",
    "Convention",
    "Equivalent",
    "Explanation",
    "ForeignLoss",
    "explain",
    "losses_of",
    "sentence",
]
