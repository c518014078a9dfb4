"""Handles the signals of `vae serve` from its first import on, until the server installs its own handlers.

Importing takes most of a second. Without a handler, a SIGTERM in that time ends the process with another exit code than
later, or, as process 1 of a container, is ignored by the kernel. A SIGHUP would end the process.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from types import FrameType


def install() -> None:
    """SIGTERM: exit with code 0 at once, since nothing is served yet. SIGHUP: nothing, as all files are read soon."""
    signal.signal(signal.SIGTERM, _exit)
    if sys.platform != "win32":
        signal.signal(signal.SIGHUP, _ignore)  # not SIG_IGN, which processes that are started later would inherit


def _exit(sig: int, frame: FrameType | None) -> None:  # noqa: ARG001 - the signal module passes them
    os._exit(0)  # not sys.exit: code that is being imported may catch SystemExit


def _ignore(sig: int, frame: FrameType | None) -> None:
    """Do nothing."""


if sys.argv[1:2] == ["serve"] and threading.current_thread() is threading.main_thread():
    install()
