"""Gives the random operations of one thread a generator of their own."""

from __future__ import annotations

from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode


class Seeded(TorchDispatchMode):
    """Context in which random in-place operations of this thread draw from one seeded generator.

    torch's layers start their weights from the global generator, which all threads of the process share. Inside this
    context they get the numbers that `torch.manual_seed(seed)` would give, whatever other threads draw, and the global
    generator stays as it was.
    """

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        """Compiles nothing; the default imports the compiler, which takes seconds."""
        return False

    def __init__(self, seed: int) -> None:
        super().__init__()
        self.generator = torch.Generator().manual_seed(seed)

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if any(argument.name == "generator" for argument in func._schema.arguments):
            kwargs = {**kwargs, "generator": kwargs.get("generator") or self.generator}
        return func(*args, **kwargs)
