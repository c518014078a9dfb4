"""Runs the app in a process: the socket, the signals and the lines printed at start."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import signal
import socket
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from time import monotonic
from types import FrameType

import uvicorn
from fastapi import FastAPI

from vaekit.bundle.models_folder import models
from vaekit.bundle.private_copies import remove_abandoned_copies
from vaekit.errors import ConfigError, FormatError
from vaekit.runtime.device import check_device, check_distribution
from vaekit_service import example, exposure
from vaekit_service.app import create_app
from vaekit_service.components import Components
from vaekit_service.connection.head import ConnectionLimits
from vaekit_service.connection.listener import Address, accept_waiting, listen, local_url, resolved, url
from vaekit_service.connection.protocol import LimitedProtocol
from vaekit_service.connection.refusals import Refusals
from vaekit_service.log_writer import LogWriter
from vaekit_service.logs import ForwardHandler, Log, make_log
from vaekit_service.memory import release_freed_memory
from vaekit_service.repository.daemon_thread import some_hang
from vaekit_service.repository.source import ModelSource
from vaekit_service.settings import Settings

Tell = Callable[[str], None]

RESERVED = 32  # file descriptors kept free for models, the log and the event loop
MAX_SPARE = 64  # connections beyond the limit that may be open while they receive their 503


def serve(settings: Settings, tell: Tell) -> None:
    """Serve until a signal ends it.

    Args:
        settings: see vaekit_service/settings.py.
        tell: called with each line for the user: the address, the state of each model, a request to try.

    Raises:
        MissingExtra: no ONNX Runtime is installed, or both distributions are.
        DeviceError: the requested device is not available.
        ConfigError: the models folder does not exist or cannot be read, the keys cannot be read, the service would be
            open to other machines without keys, or it cannot listen on the address.
    """
    if isinstance(settings.models_root, Path):
        check_models(settings.models_root)
    check_named({name: path for name, path in settings.named_bundles.items() if isinstance(path, Path)})
    check_distribution()
    check_device(settings.device, settings.cuda)
    family, address = resolved(settings.host, settings.port)
    settings = exposure.checked(settings, address[0])
    with LogWriter(sys.stderr) as writer:
        run(settings, tell, writer, family, address)
    if some_hang():  # in a store that does not answer
        sys.stdout.flush()
        os._exit(0)


def run(settings: Settings, tell: Tell, writer: LogWriter, family: socket.AddressFamily, address: Address) -> None:
    """Listen and serve. The settings have been checked.

    Raises:
        ConfigError: the keys cannot be read, or the service cannot listen on the address.
    """
    log = make_log(settings.log_format, settings.log_level, writer)
    if exposure.is_open(settings, address[0]):
        log.warning("no keys: everybody who reaches this address may use the service", address=address[0])
    if paths := settings.public_paths:
        reason = "paths of the platform need no key: it decides who may call them"
        log.warning(reason, platform=settings.platform, paths=", ".join(paths))
    with listen(family, address) as listener:
        if abandoned := remove_abandoned_copies():
            log.info("removed private copies of processes that were killed", folders=abandoned)
        handler = ForwardHandler(log)
        logger = logging.getLogger("uvicorn")
        logger.addHandler(handler)
        logger.propagate = False
        try:
            app = create_app(settings, log)
            app.state.components.metrics.log_lines_dropped = lambda: writer.dropped
            Server(app, settings, tell, log).run(sockets=[listener])
        finally:
            logger.removeHandler(handler)


def check_models(root: Path) -> None:
    """Check that the models folder exists and can be read. It may be empty: then the service is not ready.

    Raises:
        ConfigError: it does not exist, is not a folder, or cannot be read.
    """
    try:
        if not root.exists():
            raise ConfigError(
                f"models folder {str(root)!r}: no such folder; name an existing one with --models or VAE_MODELS, or "
                f"make one with `vae train DATA --models {root}`"
            )
        if not root.is_dir():
            raise ConfigError(f"models folder {str(root)!r}: this is a file; expected a folder of <name>/<version>/")
        models(root)
    except FormatError as exc:
        raise ConfigError(f"models folder {exc}") from exc
    except OSError as exc:
        raise ConfigError(f"models folder {str(root)!r}: {exc.strerror}") from exc


def check_named(bundles: Mapping[str, Path]) -> None:
    """Check that the bundles that are served under a given name exist.

    Raises:
        ConfigError: one is not the folder of a bundle or of a model.
    """
    for name, found in ModelSource(None, bundles, {}).scan().items():
        if not found.versions:
            why = found.reason or f"{found.folder}: no manifest.json there or in a folder <version> below it"
            raise ConfigError(f"model {name}: {why}; name the folder of a bundle or a model with --model or VAE_MODEL")


def connection_limits(settings: Settings, log: Log) -> ConnectionLimits:
    """The limits of connections. They leave file descriptors for the models, whatever the callers do."""
    wanted = settings.max_connections + MAX_SPARE
    room = max(2, free_descriptors(wanted + RESERVED) - RESERVED)
    spare = min(MAX_SPARE, max(1, room // 4))
    connections = min(settings.max_connections, max(1, room - spare))
    if connections < settings.max_connections:
        log.warning(
            "fewer connections than configured, because of the limit of open files (ulimit -n)",
            configured=settings.max_connections,
            connections=connections,
        )
    return ConnectionLimits(
        connections=connections,
        spare=spare,
        target_bytes=settings.max_head_bytes // 4,
        head_bytes=settings.max_head_bytes,
        head_seconds=settings.head_seconds,
        unread_bytes=max(ConnectionLimits.unread_bytes, 2 * settings.max_body_bytes),
    )


def free_descriptors(wanted: int) -> int:
    """The file descriptors that this process can still open. Raises its soft limit if that is too low and allowed."""
    if sys.platform == "win32":
        return wanted
    import resource

    used = os.dup(0)  # the lowest free number
    os.close(used)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY:
        return wanted
    needed = wanted + used
    if soft < needed:
        soft = needed if hard == resource.RLIM_INFINITY else min(needed, hard)
        with suppress(OSError, ValueError):  # a sandbox may forbid it
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        soft = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return soft - used


class Server(uvicorn.Server):
    """uvicorn with its own signal handling.

    At the first signal, /readyz answers 503. The server finishes the requests in flight and exits with code 0.
    After SIGTERM it accepts new requests for another `drain_seconds`, so that a load balancer can notice; after SIGINT
    it does not. A second SIGINT aborts the requests in flight. A second SIGTERM is ignored, because some supervisors
    send two. After SIGHUP the key file is read again, and the models folder is looked at, at once.
    """

    def __init__(self, app: FastAPI, settings: Settings, tell: Tell, log: Log) -> None:
        self._components: Components = app.state.components
        limits, refuse = connection_limits(settings, log), Refusals(log, self._components.metrics)
        super().__init__(
            uvicorn.Config(
                app,
                # annotated as a class, but uvicorn only calls it
                http=partial(LimitedProtocol, limits=limits, refuse=refuse),  # type: ignore[arg-type]
                log_config=None,
                access_log=False,
                server_header=False,
                proxy_headers=False,
                lifespan="on",
                ws="none",
                timeout_keep_alive=settings.keep_alive_seconds,
                timeout_graceful_shutdown=settings.shutdown_seconds,
            )
        )
        self._components.metrics.connections = lambda: len(self.server_state.connections)
        self._drain = settings.drain_seconds
        self._has_page = settings.page
        self._tell = tell
        self._exit_at: float | None = None  # by the monotonic clock; None until the first signal
        self._tell_task: asyncio.Task[None] | None = None
        self._reloads = False  # SIGHUP has arrived
        self._has_told = False  # whether streams know that the service shuts down

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Install the signal handlers while serving. Unlike uvicorn's they do not re-raise, so the exit code is 0."""
        before = {number: signal.signal(number, self.handle_exit) for number in (signal.SIGINT, signal.SIGTERM)}
        if sys.platform != "win32":
            before[signal.SIGHUP] = signal.signal(signal.SIGHUP, self._handle_hangup)
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:  # noqa: ARG002 - the signal module passes it
        """The first signal: drain, then exit. A later SIGINT: exit immediately."""
        if self._exit_at is not None:
            if sig == signal.SIGINT:
                self.should_exit = self.force_exit = True
            return
        self._components.lifecycle.draining = True
        self._exit_at = monotonic() + (self._drain if sig == signal.SIGTERM else 0.0)

    def _handle_hangup(self, sig: int, frame: FrameType | None) -> None:  # noqa: ARG002 - the signal module passes them
        self._reloads = True

    async def on_tick(self, counter: int) -> bool:
        if self._exit_at is not None and monotonic() >= self._exit_at:
            self.should_exit = True
        if self._exit_at is not None and not self._has_told:
            self._has_told = True
            self._components.lifecycle.drain()  # here, since a signal handler may interrupt the event loop anywhere
        if self._reloads:
            self._reloads = False
            self._components.updates.look_now()
            await self._components.keyring.reload()
        return await super().on_tick(counter)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets=sockets)
        assert sockets
        host, port = sockets[0].getsockname()[:2]
        local = local_url(host, port)
        page = f"page: {local}/, " if self._has_page else ""
        self._tell(f"listening on {url(host, port)}  ({page}API reference: {local}/docs)")
        self._tell_task = asyncio.create_task(self._tell_ready(local))

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        if self._tell_task is not None:
            self._tell_task.cancel()
        await self._stop_listening(sockets or [])
        await super().shutdown()
        if self.force_exit:  # uvicorn then skips the app's shutdown
            await self.lifespan.shutdown()

    async def _stop_listening(self, sockets: list[socket.socket]) -> None:
        """Close the listeners, and serve the connections that were made before."""
        last = [listener.dup() for listener in sockets]  # open until the event loop has let go of the others
        for server in self.servers:
            server.close()
        for listener in sockets:
            listener.close()
        await asyncio.sleep(0.001)
        waiting = [connection for listener in last for connection in accept_waiting(listener)]
        for listener in last:
            listener.close()
        loop = asyncio.get_running_loop()
        for connection in waiting:
            await loop.connect_accepted_socket(self._protocol, connection)

    def _protocol(self) -> asyncio.Protocol:
        config, state = self.config, self.server_state
        # annotated as asyncio.Protocol, which takes no arguments
        return config.http_protocol_class(config=config, server_state=state, app_state=self.lifespan.state)  # type: ignore[call-arg]

    async def _tell_ready(self, local: str) -> None:
        registry = self._components.registry
        await registry.settled.wait()
        gc.collect()
        release_freed_memory()
        gc.freeze()  # exclude the objects that exist now from later collections; traversing them takes about 30 ms
        for served in registry.all:
            if served in registry.latest or served.state == "failed":
                why = "" if served.reason is None else f": {served.reason}"
                self._tell(f"{served.state}: {served.name}, version {served.version}{why}")
        if reason := self._components.unready():
            self._tell(f"not ready: {reason}")
        ready = sorted((s for s in registry.latest if s.model), key=lambda s: s.name != registry.default)
        if ready and ready[0].model is not None:
            with_key = self._components.keyring.is_required
            self._tell("try:\n  " + await asyncio.to_thread(example.curl, ready[0].model, local, with_key=with_key))
