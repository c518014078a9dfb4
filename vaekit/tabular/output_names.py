"""Names of output columns that an input has already."""

from __future__ import annotations

from collections.abc import Collection, Sequence


def free_names(appended: Sequence[str], taken: Collection[str]) -> dict[str, str]:
    """New names for the appended columns whose names the input has: the prefix `vae_`, as often as needed."""
    renamed = {}
    for name in appended:
        free = name
        while free in taken or (free != name and free in appended):
            free = f"vae_{free}"
        if free != name:
            renamed[name] = free
    return renamed
