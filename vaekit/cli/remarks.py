"""The remarks of `vae train`: each is printed once, where it is seen."""

from __future__ import annotations

import re
from types import TracebackType

from rich.console import Console
from rich.markup import escape

_CHOICES = re.compile(  # how remarks begin that say what was chosen, and ask for nothing
    r"all rows are treated as normal|columns of numbers: the default recipe|inferred from the first|"
    r"missing cells are left out|the likelihood is|\d+ images of \d+ x \d+ pixels"
)


class Remarks:
    """Prints choices at once, and what asks for a look at the end, or before the first step of a long training.

    A kernel prior has no steps: its training ends within seconds. As a context, it prints what is left if the training
    fails, because a remark may explain why.
    """

    def __init__(self, console: Console) -> None:
        self._console = console
        self._said: set[str] = set()
        self._held: list[str] = []
        self._early = 0  # number of remarks printed before the end
        self._has_steps = False  # whether the training has taken a step

    def __enter__(self) -> Remarks:
        return self

    def __exit__(self, kind: type[BaseException] | None, exc: BaseException | None, at: TracebackType | None) -> None:
        self._release()

    def add(self, text: str) -> None:
        """Take a remark on the data; one that was taken before is ignored."""
        if text in self._said:
            return
        self._said.add(text)
        if _CHOICES.match(text):
            self._console.print(f"[dim]{escape(text)}[/]", soft_wrap=True)
        else:
            self._held.append(f"[yellow]remark[/]: {escape(text)}")

    def warn(self, text: str) -> None:
        """Take a warning; it is printed at once if the training has taken a step."""
        if text in self._said:
            return
        self._said.add(text)
        self._held.append(f"[yellow]warning[/]: {escape(text)}")
        if self._has_steps:
            self._early += self._release()

    def on_step(self) -> None:
        """Called after each step: prints what is held, because many steps may follow."""
        if not self._has_steps:
            self._has_steps = True
            self._early += self._release()

    def at_end(self) -> None:
        """Print what is left, and that there was more."""
        self._release()
        if self._early:
            what = "1 remark" if self._early == 1 else f"{self._early} remarks"
            self._console.print(f"[yellow]{what} above[/], from before or during the training", soft_wrap=True)

    def _release(self) -> int:
        """Print what is held; returns how many remarks these were."""
        count = len(self._held)
        for text in self._held:
            self._console.print(text, soft_wrap=True)
        self._held.clear()
        return count
