"""Connects a training loop to its run folder: checkpoints, TensorBoard events, and stopping at SIGTERM."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import cached_property
from pathlib import Path

from vaekit_training.config import Config
from vaekit_training.loop.distributed import World
from vaekit_training.loop.folder import Events, Keep, checkpoint
from vaekit_training.loop.hooks import Hooks
from vaekit_training.loop.tracking import Validation


class RunFolder:
    """The folder of a run, if the run is kept; created at first use, after config and data have been checked."""

    def __init__(self, keep: Keep | None, config: Config, ranks: World) -> None:
        self._keep, self._config, self._ranks = keep, config, ranks

    @cached_property
    def folder(self) -> Path | None:
        """The path of the folder, created now if necessary; None if the run is not kept."""
        return None if self._keep is None else self._keep.prepare(self._config, self._ranks)

    @contextmanager
    def hooks(self, hooks: Hooks, signature: Callable[[], str], fold: int | None = None) -> Iterator[Hooks]:
        """Hooks that also save to and resume from the run's folder, if the run is kept.

        Args:
            hooks: the hooks to extend.
            signature: returns the digest of the data.
            fold: index of a fold model. Each fold model has its own checkpoint and events; on resuming, a fold model
                without a checkpoint starts at step 1.
        """
        if self._keep is None or self.folder is None:
            yield hooks
            return
        path = self.folder / checkpoint(fold)
        events = Events(self.folder if fold is None else self.folder / f"fold-{fold}") if self._ranks.is_first else None
        try:
            with terminations() as is_terminated:
                yield replace(
                    hooks,
                    on_validation=_both(hooks.on_validation, events.write) if events else hooks.on_validation,
                    stop=is_terminated,
                    checkpoint=path,
                    resume=self._keep.resume and (fold is None or path.is_file()),
                    signature=signature(),
                )
        finally:
            if events:
                events.close()


def _both(first: Callable[[Validation], None], second: Callable[[Validation], None]) -> Callable[[Validation], None]:
    def call(validation: Validation) -> None:
        first(validation)
        second(validation)

    return call


@contextmanager
def terminations() -> Iterator[Callable[[], bool]]:
    """Context in which SIGTERM does not end the process; yields a function that tells whether it was received.

    Outside the main thread the function always returns false, because only the main thread can handle signals.
    """
    received: list[int] = []
    if threading.current_thread() is not threading.main_thread():
        yield lambda: False
        return
    before = signal.signal(signal.SIGTERM, lambda number, _: received.append(number))
    try:
        yield lambda: bool(received)
    finally:
        signal.signal(signal.SIGTERM, before)
