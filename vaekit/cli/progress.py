"""Progress on stderr: a bar in a terminal, and lines in a file or a pipe."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from time import monotonic

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from vaekit.cli.output import is_quiet

LINE_EVERY = 30.0  # seconds between two lines on the progress of a training


@contextmanager
def bar(description: str) -> Iterator[Callable[[int, int, str], None]]:
    """A progress bar on stderr, called with (done, total, unit). Silent if stderr is not a terminal."""
    console = Console(stderr=True)
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TaskProgressColumn(),
        TextColumn("{task.fields[count]}"),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, disable=not console.is_terminal or is_quiet()) as progress:
        task = progress.add_task(description, total=None, count="")

        def advance(done: int, total: int, unit: str) -> None:
            progress.update(task, completed=done, total=total, count=_count(done, total, unit))

        yield advance


def _count(done: int, total: int, unit: str) -> str:
    if unit != "bytes":
        return f"{done:,}/{total:,} {unit}"
    scale, name = (1e6, "MB") if total >= 1e6 else (1e3, "kB")
    return f"{done / scale:.1f}/{total / scale:.1f} {name}"


class TrainingLines:
    """Lines on the progress of a training for a stderr that is not a terminal, one every LINE_EVERY seconds."""

    def __init__(self, steps: int, say: Callable[[str], None], clock: Callable[[], float] = monotonic) -> None:
        """Steps: of each training; say: prints a line."""
        self._steps, self._say, self._clock = steps, say, clock
        self._step, self._elbo = 0, ""
        self._best: tuple[int, float] | None = None  # step and ELBO
        self._first, self._start, self._said = 0, 0.0, 0.0

    def on_step(self, step: int) -> None:
        """Called after each step; a step that is not the next one starts another training, as of a fold."""
        now = self._clock()
        if step != self._step + 1 or step == 1:
            self._first, self._start, self._elbo = step, now, ""
            self._said = self._said or now
        self._step = step
        if now - self._said >= LINE_EVERY and step > self._first:
            left = (now - self._start) / (step - self._first) * (self._steps - step)
            self._say(f"step {step:,} of {self._steps:,}{self._elbo}, at most {duration(left)} left")
            self._said = now

    def on_best(self, step: int, elbo: float) -> None:
        """Called before on_validation if the weights of this step are the best so far; ELBO in nats."""
        self._best = step, elbo

    def on_validation(self, step: int, elbo: float) -> str:
        """Called with the ELBO of the validation rows, in nats; returns it as text, with the best one so far."""
        said = f"validation ELBO {elbo:.2f} nats"
        if self._best is not None and step < self._best[0]:
            self._best = None  # that of the fold before
        if self._best is not None:
            of = "the best so far" if self._best[0] == step else f"best {self._best[1]:.2f} at step {self._best[0]:,}"
            said += f" ({of})"
        self._elbo = f", {said}"
        return said


def duration(seconds: float) -> str:
    """A time that is left, as text."""
    if seconds < 90:
        return f"{max(1, round(seconds))} s"
    return f"{round(seconds / 60)} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
