"""Connects a training loop to its run folder: checkpoints, events, and stopping at SIGTERM."""

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
    """The folder of a run, if it is kept; created at first use, after all checks of the config and data."""

    def __init__(self, keep: Keep | None, config: Config, ranks: World) -> None:
        self._keep, self._config, self._ranks = keep, config, ranks

    @cached_property
    def folder(self) -> Path | None:
        return None if self._keep is None else self._keep.prepare(self._config, self._ranks)

    @contextmanager
    def hooks(self, hooks: Hooks, signature: Callable[[], str], fold: int | None = None) -> Iterator[Hooks]:
        """Hooks that also save to, and resume from, the run's folder, if the run is kept.

        Args:
            hooks: receive progress.
            signature: of the data.
            fold: of a fold model, which has its own checkpoint and events; one without a checkpoint starts at step 1.
        """
        if self._keep is None or self.folder is None:
            yield hooks
            return
        path = self.folder / checkpoint(fold)
        events = Events(self.folder if fold is None else self.folder / f"fold-{fold}") if self._ranks.leads else None
        try:
            with terminations() as told:
                yield replace(
                    hooks,
                    on_validation=_both(hooks.on_validation, events.write) if events else hooks.on_validation,
                    stop=told,
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
    """Whether SIGTERM has arrived, which no longer ends the process; always false outside the main thread."""
    came: list[int] = []
    if threading.current_thread() is not threading.main_thread():
        yield lambda: False
        return
    before = signal.signal(signal.SIGTERM, lambda number, _: came.append(number))
    try:
        yield lambda: bool(came)
    finally:
        signal.signal(signal.SIGTERM, before)
