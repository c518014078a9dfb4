"""Handles signals from the first import of the command line on, while its packages are imported.

Importing takes most of a second. Without a handler, Ctrl-C in that time prints a traceback. Of `vae serve`, a SIGTERM
ends the process with another exit code than later, or, as process 1 of a container, is ignored by the kernel; a SIGHUP
would end the process. The server installs its own handlers.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from types import FrameType

PROGRAMS = ("/vae", "/vaekit", "/vae.exe", "/vaekit.exe", "/vaekit/__main__.py")  # ends of the paths of the command


def install() -> None:
    """SIGTERM: exit with code 0 at once, since nothing is served yet. SIGHUP: nothing, as all files are read soon."""
    signal.signal(signal.SIGTERM, _exit)
    if sys.platform != "win32":
        signal.signal(signal.SIGHUP, _ignore)  # not SIG_IGN, which processes that are started later would inherit


def install_interrupt() -> None:
    """SIGINT: exit with code 130 at once, as nothing has begun."""
    signal.signal(signal.SIGINT, _exit_interrupted)


def restore_interrupt() -> None:
    """SIGINT: KeyboardInterrupt again, if it was handled here."""
    if signal.getsignal(signal.SIGINT) is _exit_interrupted:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def _exit_interrupted(sig: int, frame: FrameType | None) -> None:  # noqa: ARG001 - the signal module passes them
    os._exit(130)


def _exit(sig: int, frame: FrameType | None) -> None:  # noqa: ARG001 - the signal module passes them
    os._exit(0)  # not sys.exit: code that is being imported may catch SystemExit


def _ignore(sig: int, frame: FrameType | None) -> None:
    """Do nothing."""


if threading.current_thread() is threading.main_thread():
    if sys.argv[1:2] == ["serve"]:
        install()
    is_command = sys.argv[0].replace("\\", "/").endswith(PROGRAMS)
    if is_command and signal.getsignal(signal.SIGINT) is signal.default_int_handler:  # not ignored, as by nohup
        install_interrupt()
