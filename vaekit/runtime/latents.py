"""Checks latents z and members that a caller gives."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vaekit.bundle import Manifest
from vaekit.errors import InputError

MAX_LATENT = 1e6  # |z| beyond it is no code, and float32 would overflow on the way


def check_latents(z: ArrayLike, manifest: Manifest) -> NDArray[np.float32]:
    """Codes as the decoder takes them, (N, Z) float32.

    Raises:
        InputError: z is not (N, Z) with N >= 1, or holds what is not a number within +-1e6.
    """
    try:
        codes = np.asarray(z, dtype=np.float64)
    except (TypeError, ValueError, OverflowError) as exc:
        raise InputError(f"latents: expected numbers (N, {manifest.latent_dim}): {exc}") from None
    if codes.ndim != 2 or codes.shape[1] != manifest.latent_dim or len(codes) == 0:
        raise InputError(f"latents: shape {codes.shape}, expected (N, {manifest.latent_dim}) with N >= 1")
    bad = ~(np.abs(codes) <= MAX_LATENT)
    if bad.any():
        row, j = np.argwhere(bad)[0]
        raise InputError(f"row {row}, latent {j}: not within +-{MAX_LATENT:g}: {codes[row, j]}")
    return codes.astype(np.float32)


def check_members(member: ArrayLike | None, n: int, manifest: Manifest) -> dict[str, NDArray[np.int64]]:
    """The member that each of n codes is of, as the graphs take it; nothing where the model has none.

    Raises:
        InputError: there are members and none is named, there are none and some are, or one is not 0..M-1.
    """
    count = manifest.members
    if count == 1:
        if member is not None:
            raise InputError("members: the model has none")
        return {}
    if member is None:
        raise InputError(f"members: which of the {count} is each code of? one of 0..{count - 1} a row")
    which = np.asarray(member)
    if which.shape != (n,) or which.dtype.kind not in "iu":
        raise InputError(f"members: shape {which.shape} and type {which.dtype}, expected ({n},) integers")
    bad = (which < 0) | (which >= count)
    if bad.any():
        row = int(bad.argmax())
        raise InputError(f"row {row}: member {which[row]} is not one of 0..{count - 1}")
    return {"member": which.astype(np.int64)}
