"""Work in the device's thread that is not a batch."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field


@dataclass(eq=False)
class DeviceCall:
    """A function to be called in the device's thread between two batches."""

    work: Callable[[], None]
    future: Future[None] = field(default_factory=Future)

    def run(self) -> tuple[()]:
        """Call the function and set the future."""
        if self.future.set_running_or_notify_cancel():
            try:
                self.work()
            except Exception as exc:  # noqa: BLE001 - the waiting caller must get any error
                self.future.set_exception(exc)
            except BaseException as exc:  # ends the thread
                self.future.set_exception(RuntimeError(f"the device's thread ended: {exc!r}"))
                raise
            else:
                self.future.set_result(None)
        return ()
