"""Pads batches to a few fixed numbers of rows (buckets), so that a GPU can reuse buffers and kernels.

The shapes in a graph's signature contain letters for sizes that vary: N rows, K draws.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vaekit.bundle.manifest import Tensor
from vaekit.errors import InputError

ROWS = "N"  # the letter for the number of rows, always the first axis; a tensor without it has no rows


def bucket(n: int, most: int) -> int:
    """The number of rows that n rows are padded to: the next power of two, but at most `most`. n > most is not padded.

    >>> [bucket(n, 500) for n in (1, 3, 300, 500, 600)]
    [1, 4, 500, 500, 600]
    """
    return n if n > most else min(1 << (n - 1).bit_length(), most)


def buckets(n: int, most: int) -> tuple[int, ...]:
    """All buckets that batches of 1 to n rows are padded to.

    >>> buckets(5, 500), buckets(512, 500)
    ((1, 2, 4, 8), (1, 2, 4, 8, 16, 32, 64, 128, 256, 500))
    """
    largest = bucket(min(n, most), most)
    return (*(1 << i for i in range((largest - 1).bit_length())), largest)


def sizes(inputs: Iterable[Tensor], feeds: Mapping[str, NDArray[Any]]) -> dict[str, int]:
    """The size that each letter of a signature has in these arrays, for example {"N": 4, "K": 16}.

    Raises:
        InputError: the arrays do not match the signature in name, type or shape.
    """
    found: dict[str, int] = {}
    tensors = {tensor.name: tensor for tensor in inputs}
    if tensors.keys() != feeds.keys():
        raise InputError(f"inputs: [{', '.join(feeds)}], expected [{', '.join(tensors)}]")
    for name, tensor in tensors.items():
        given = feeds[name]
        fits = given.dtype == tensor.dtype and given.ndim == len(tensor.shape)
        if fits:
            for letter, size in zip(tensor.shape, given.shape, strict=True):
                if isinstance(letter, str):
                    found.setdefault(letter, size)
        if not fits or given.shape != shape_of(tensor, found):
            raise InputError(f"{name}: {given.dtype} {given.shape}, expected {tensor.dtype} {tensor.shape}")
    return found


def shape_of(tensor: Tensor, sizes: Mapping[str, int]) -> tuple[int, ...]:
    """A tensor's shape with its letters replaced by sizes."""
    return tuple(sizes[size] if isinstance(size, str) else size for size in tensor.shape)


def padded(a: NDArray[Any], rows: int) -> NDArray[Any]:
    """(n, ...) -> (rows, ...) by repeating the last row, which is valid input for any graph."""
    return a if len(a) == rows else np.concatenate([a, np.repeat(a[-1:], rows - len(a), axis=0)])
