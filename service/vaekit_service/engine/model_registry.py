"""Finds the models to serve, loads them in the background, and lends them to requests."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from pathlib import Path
from time import monotonic
from types import TracebackType

from vaekit.bundle.manifest import Precision
from vaekit.bundle.models_folder import models
from vaekit.client.wire import ModelList, ModelSummary
from vaekit.errors import UnknownModel, VaeError
from vaekit.runtime import Model
from vaekit.runtime.device import DEFAULTS, Cuda
from vaekit_service.engine.model_version import UNREADABLE, ModelVersion, find_versions, open_version, without_manifest
from vaekit_service.errors import NotReady, Unservable
from vaekit_service.logs import Log

OnDevice = Callable[[Callable[[], None]], Awaitable[None]]  # calls a function in the thread that runs the models


class Lease:
    """A request's use of a model version: `async with` loads the model if necessary and keeps it loaded."""

    __slots__ = ("_registry", "_version")

    def __init__(self, registry: ModelRegistry, version: ModelVersion) -> None:
        self._registry, self._version = registry, version

    async def __aenter__(self) -> Model:
        if (model := self._version.model) is None:
            model = await self._registry.load_again(self._version)
        self._version.users += 1
        self._version.last_used = next(self._registry.ticks)
        return model

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None
    ) -> None:
        self._version.users -= 1


class ModelRegistry:
    """The models and versions that were in the models folder when the service started.

    The latest version of each model is loaded at start-up, in the background, one after the other. If it fails to load,
    the next older version is loaded and answers in its place. Other older versions are loaded at the first request for
    them; at most `max_old_versions` of them stay loaded. An older version that failed to load is tried again at the
    first request that comes `retry_seconds` later.
    """

    def __init__(
        self,
        root: Path,
        *,
        device: str,
        threads: int | None,
        precision: Precision,
        default: str | None,
        max_old_versions: int,
        log: Log,
        on_device: OnDevice,
        max_batch_rows: int,
        cuda: Cuda = DEFAULTS,
        retry_seconds: float = 30.0,
    ) -> None:
        self.root, self._retry = root, retry_seconds
        self._open_with, self._log = (device, threads, cuda, precision), log
        self._on_device, self._max_batch_rows = on_device, max_batch_rows  # models are warmed up to this batch size
        self._configured_default = default
        self._max_old = max_old_versions
        self._served = {name: find_versions(root, name) for name in models(root)}
        self._latest = {name: known[max(known)] for name, known in self._served.items()}
        for name, known in self._served.items():
            for number in without_manifest(root, name, known):
                log.warning("skipped: no manifest.json", model=name, version=number)
        for served in self.latest:
            if served.version == UNREADABLE:
                self._failed(served, served.reason or "")
            else:
                served.state = "loading"
        self._loader = ThreadPoolExecutor(1, thread_name_prefix="loader")
        self._opening = asyncio.Lock()  # one load at a time: nothing else may allocate while a CUDA graph is recorded
        self.ticks = count(1)  # numbers the leases, so that the least recently used version is unloaded first
        self._starting: asyncio.Task[None] | None = None
        self.settled = asyncio.Event()  # set once the latest version of every model is ready or failed

    @property
    def latest(self) -> list[ModelVersion]:
        """The version of each model that answers requests without a version: the latest that could be loaded."""
        return list(self._latest.values())

    @property
    def loaded(self) -> list[ModelVersion]:
        return [s for s in self.all if s.model is not None]

    @property
    def all(self) -> list[ModelVersion]:
        return [s for known in self._served.values() for s in known.values()]

    @property
    def names(self) -> list[str]:
        return list(self._served)

    @property
    def default(self) -> str | None:
        """The model behind the routes without a model name: the configured one, or the only model."""
        return self._configured_default or (self.names[0] if len(self.names) == 1 else None)

    def start(self) -> None:
        self._starting = asyncio.create_task(self._load_latest(), name="registry")

    async def close(self) -> None:
        if self._starting is not None:
            self._starting.cancel()
            await asyncio.gather(self._starting, return_exceptions=True)
        await asyncio.to_thread(self._loader.shutdown, cancel_futures=True)
        for served in self.loaded:
            self._unload(served)

    def summary(self) -> ModelList:
        """The reply of GET /models."""
        listed = [
            ModelSummary(
                name=served.name,
                version=served.version,
                versions=[v for v in self._served[served.name] if v != UNREADABLE],
                state="loading" if served.state == "idle" else served.state,
                reason=served.reason,
                failed={v: s.reason or "" for v, s in self._served[served.name].items() if s.state == "failed"},
            )
            for served in self.latest
        ]
        return ModelList(default=self.default, models=listed)

    def unready(self) -> str | None:
        """Why requests cannot be answered; None if the registry is ready.

        Ready means that no latest version is still loading, at least one model is ready, and so is the configured
        default model, if there is one.
        """
        if not self._served:
            return self._no_model()
        if loading := [s.name for s in self.latest if s.state == "loading"]:
            return f"still loading: {', '.join(loading)}"
        if all(s.state == "failed" for s in self.latest):
            return "; ".join(f"{s.name}: {s.reason}" for s in self.latest)
        wanted = self._configured_default
        if wanted is not None and not any(s.name == wanted and s.state == "ready" for s in self.latest):
            ready = ", ".join(s.name for s in self.latest if s.state == "ready") or "none"
            return f"the default model {wanted!r} is not ready; ready models: {ready}"
        return None

    def _no_model(self) -> str:
        return f"no model in {self.root}: expected bundles at <name>/<version>/ when the service starts"

    def lend(self, name: str | None, version: str | None) -> Lease:
        """A lease of the model that a request path names. Errors are raised here, before any work is done.

        Args:
            name: model name; None: the default model.
            version: version number; None: the latest version.

        Raises:
            UnknownModel: no such model or version; the message lists the known ones.
            NotReady: the version is still loading at start-up.
            Unservable: the version failed to load, or there is no model.
        """
        found = self.find(name, version)
        self._check(found)
        return Lease(self, found)

    def find(self, name: str | None, version: str | None) -> ModelVersion:
        """The version that a request path names, in any state.

        Raises:
            UnknownModel, Unservable: see `lend`.
        """
        if name is None:
            name = self._default_name()
        if name not in self._served:
            raise UnknownModel(f"no model {name[:64]!r}; served models: {', '.join(self.names) or 'none'}")
        known = self._served[name]
        if version is None:
            return self._latest[name]
        for number, served in known.items():
            if str(number) == version:
                return served
        raise UnknownModel(f"no version {version[:20]!r} of model {name!r}; versions: {', '.join(map(str, known))}")

    def _default_name(self) -> str:
        if not self._served:
            raise Unservable(self._no_model())
        if self.default is None:
            raise UnknownModel(
                f"no default model: name one in the path, as in /models/{self.names[0]}/elbo; "
                f"served models: {', '.join(self.names)}"
            )
        return self.default

    async def _load_latest(self) -> None:
        for name, known in self._served.items():
            await self._load_newest(name, [known[version] for version in sorted(known, reverse=True)])
        self.settled.set()

    async def _load_newest(self, name: str, newest_first: list[ModelVersion]) -> None:
        """Load the newest version that can be loaded. If there is none, the newest one is shown with its reason."""
        for served in newest_first:
            if served.version == UNREADABLE:
                return
            self._latest[name], served.state = served, "loading"
            await self._load(served)
            if served.model is not None:
                if served is not newest_first[0]:
                    self._log.warning("older version serves", model=name, version=served.version)
                return
        self._latest[name] = newest_first[0]

    async def load_again(self, served: ModelVersion) -> Model:
        """Load an old version that is not in memory; callers that ask for it together share one load."""
        while served.model is None:
            self._check(served)
            if served.loading is None:
                served.state = "loading"
                served.loading = asyncio.create_task(self._load_old(served))
            await asyncio.shield(served.loading)  # a caller that disconnects does not cancel it for the others
        return served.model

    def _check(self, served: ModelVersion) -> None:
        if served.model is not None or served.loading is not None or self._may_load(served):
            return
        what = f"version {served.version} of model {served.name!r}"
        if served.state == "loading":
            raise NotReady(f"{what} is still loading; retry later")
        raise Unservable(f"{what} failed to load: {served.reason}")

    def _may_load(self, served: ModelVersion) -> bool:
        """Whether the version is idle, or failed at least `retry_seconds` ago: the cause may be gone by now."""
        if served.state == "idle":
            return True
        return served.retry_at is not None and monotonic() >= served.retry_at

    async def _load_old(self, served: ModelVersion) -> None:
        await self._load(served)
        served.loading = None
        served.retry_at = monotonic() + self._retry if served.state == "failed" else None
        self._make_room(served)

    def _make_room(self, arrived: ModelVersion) -> None:
        newest = set(self.latest)
        old = [s for s in self.loaded if s not in newest]
        unused = sorted((s for s in old if not s.users and s is not arrived), key=lambda s: s.last_used)
        for served in unused[: max(0, len(old) - self._max_old)]:
            self._unload(served)

    def _unload(self, served: ModelVersion) -> None:
        assert served.model is not None
        served.model.close()
        served.model, served.state = None, "idle"

    async def _load(self, served: ModelVersion) -> None:
        try:
            async with self._opening:
                if served.model is None:  # else a request has loaded it while this call waited
                    served.model = await self._opened(served.folder)
        except VaeError as exc:
            self._failed(served, str(exc))
        except Exception as exc:  # noqa: BLE001 - native code may raise any error; the other models must still load
            self._failed(served, f"{type(exc).__name__}: {exc}")
        else:
            served.state, served.reason = "ready", None
            device = served.model.device
            self._log.info("model ready", model=served.name, version=served.version, device=device)

    async def _opened(self, folder: Path) -> Model:
        """Load a model and warm it up on the device."""
        loop = asyncio.get_running_loop()
        model = await loop.run_in_executor(self._loader, open_version, folder, *self._open_with)
        try:
            for call in model.warm_up_calls(self._max_batch_rows):
                await self._on_device(call)
        except BaseException:
            model.close()
            raise
        return model

    def _failed(self, served: ModelVersion, reason: str) -> None:
        served.state = "failed"
        served.reason = reason.replace(f"{self.root}/", "")  # replies do not show paths of the server
        self._log.error("model failed", model=served.name, version=served.version, reason=reason)
