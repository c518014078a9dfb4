"""Checks the latents z and the member numbers that a caller gives."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vaekit.bundle import Manifest
from vaekit.errors import InputError

MAX_LATENT = 1e6  # no encoder gives a larger |z|, and float32 would overflow in the decoder
MAX_ROW = 1e30  # with a kernel prior: z is the standardised row, and the decoder does not multiply it


def check_latents(z: ArrayLike, manifest: Manifest) -> NDArray[np.float32]:
    """Check latents z and convert them to (N, Z) float32, as the decoder takes them.

    Raises:
        InputError: z is not (N, Z) with N >= 1, or has a value that is not a number within +-1e6, or with a kernel
            prior +-1e30.
    """
    try:
        latents = np.asarray(z, dtype=np.float64)
    except (TypeError, ValueError, OverflowError) as exc:
        raise InputError(f"latents: expected an array of numbers (N, {manifest.latent_dim}): {exc}") from None
    if latents.ndim != 2 or latents.shape[1] != manifest.latent_dim or len(latents) == 0:
        raise InputError(f"latents: shape {latents.shape}, expected (N, {manifest.latent_dim}) with N >= 1")
    largest = MAX_ROW if manifest.prior.name == "kernel" else MAX_LATENT
    bad = ~(np.abs(latents) <= largest)
    if bad.any():
        row, j = np.argwhere(bad)[0]
        raise InputError(f"row {row}, latent {j}: not within +-{largest:g}: {latents[row, j]}")
    return latents.astype(np.float32)


def check_members(member: ArrayLike | None, n: int, manifest: Manifest) -> dict[str, NDArray[np.int64]]:
    """The graphs' input `member`: the number of the member that decodes each of n latents. Empty without members.

    Raises:
        InputError: members are missing for an ensemble, are given for another model, or are not in 0..M-1.
    """
    count = manifest.members
    if count == 1:
        if member is not None:
            raise InputError("members: this model is not an ensemble; leave members out")
        return {}
    if member is None:
        raise InputError(f"members: not given, expected one of 0..{count - 1} for each row of latents")
    which = np.asarray(member)
    if which.shape != (n,) or which.dtype.kind not in "iu":
        raise InputError(f"members: shape {which.shape} and type {which.dtype}, expected ({n},) integers")
    bad = (which < 0) | (which >= count)
    if bad.any():
        row = int(bad.argmax())
        raise InputError(f"row {row}: member {which[row]} is not one of 0..{count - 1}")
    return {"member": which.astype(np.int64)}
