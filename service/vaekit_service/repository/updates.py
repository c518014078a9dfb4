"""Keeps the served models as the models folder is: looks regularly, loads what is new, swaps, lets old versions go."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from contextlib import suppress

from vaekit.bundle.policy import Policy
from vaekit.errors import FormatError
from vaekit_service.logs import Log
from vaekit_service.repository.daemon_thread import in_daemon_thread
from vaekit_service.repository.loader import ModelLoader
from vaekit_service.repository.registry import ModelRegistry
from vaekit_service.repository.source import FoundModel, FoundVersion, ModelSource
from vaekit_service.repository.version import UNREADABLE, ModelVersion, ServedModel


class ModelUpdates:
    """Looks at the models every `poll_seconds`, and at once when `look_now` is called.

    A new version is verified, made to reproduce its golden rows and warmed up while the version before it answers. Then
    it is swapped in by one assignment, and the old version is unloaded after its last request. If it cannot be loaded,
    the version before it goes on; it is tried again after a pause, or when its manifest has changed.

    Args:
        source: where the models are.
        registry: the served models, which this object changes.
        loader: opens versions.
        poll_seconds: time between two looks.
    """

    def __init__(
        self, source: ModelSource, registry: ModelRegistry, loader: ModelLoader, log: Log, *, poll_seconds: float
    ) -> None:
        self._source, self._registry, self._loader, self._log = source, registry, loader, log
        self._poll_seconds = poll_seconds
        self._look = asyncio.Event()
        self._looked: list[asyncio.Future[None]] = []  # of callers that wait for the next look
        self._retries = False  # the next look tries failed versions again, whatever their pause
        self._task: asyncio.Task[None] | None = None
        self._trouble: str | None = None  # why the last look failed
        self._is_store_away = False  # whether the last look could not read a store
        self._skipped: set[tuple[str, int]] = set()  # entries without a manifest that were logged
        try:
            at_start = source.scan()
        except FormatError as exc:
            self._tell_trouble(str(exc))
        else:
            for name, found in at_start.items():
                self._add(name, found)
        registry.choose_default()

    @property
    def reads_store(self) -> bool | None:
        """Whether the last look could read the stores; None: all models are in local folders."""
        return not self._is_store_away if self._source.mirrors else None

    def start(self) -> None:
        self._task = asyncio.create_task(self._run(), name="model updates")

    async def close(self) -> None:
        """Stop, and unload all models."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        for served in self._registry.loaded:
            served.users = 0  # requests that are still held were cut off
            self._loader.unload(served)
        await self._loader.close()

    async def settle(self) -> None:
        """Wait until versions that have left are closed."""
        await self._loader.settle()

    def look_now(self) -> None:
        """Look at once, and try failed versions again. Called in the event loop."""
        self._retries = True
        self._look.set()

    def override(self, name: str, policy: Policy) -> None:
        """Use this policy of a model from the next look on, until the service ends, whatever its folder says."""
        self._source.override(name, policy)

    def overridden(self, name: str) -> Policy | None:
        """The policy that was given for a model, which the next look takes over; None: that of its folder holds."""
        return self._source.overridden(name)

    async def looked(self) -> None:
        """Look at once, and wait until the served models are as the folder is."""
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._looked.append(done)
        self.look_now()
        await done

    async def _run(self) -> None:
        await self._guarded(self._load_all())
        if self._source.mirrors:
            if self._registry.ready:  # a copy of an earlier run answers while the store is read
                self._registry.settled.set()
            await self._guarded(self.look())
        self._registry.settled.set()
        while True:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._look.wait(), self._poll_seconds)
            self._look.clear()
            waiting, self._looked = self._looked, []
            await self._guarded(self.look())
            for done in waiting:
                if not done.done():
                    done.set_result(None)

    async def _guarded(self, work: Awaitable[None]) -> None:
        """Log an unexpected error: the next look may succeed, and the loaded models go on."""
        try:
            await work
        except Exception as exc:  # noqa: BLE001 - a look must never be the last one
            self._log.error("look at the models failed", reason=f"{type(exc).__name__}: {exc}")

    async def look(self) -> None:
        """Look once: load, swap and unload until the served models are as the folder is."""
        if self._source.mirrors:
            self._tell_store(await in_daemon_thread(self._source.refresh))
        try:
            found = await self._loader.in_thread(self._source.scan)
        except FormatError as exc:
            self._tell_trouble(str(exc))
            return
        if self._registry.models and not found:  # an unmounted folder is empty
            self._tell_trouble(f"no model in {self._source.text} any more")
            return
        self._trouble = None
        retries, self._retries = self._retries, False
        for name in self._registry.names:
            if name not in found:
                self._registry.remove(name)
                self._log.warning("model removed", model=name)
        for name, listing in found.items():
            if (model := self._registry.models.get(name)) is not None:
                self._refresh(model, listing, retries)
            else:
                self._add(name, listing)
        self._registry.choose_default()
        await self._load_all()

    async def _load_all(self) -> None:
        for model in list(self._registry.models.values()):
            await self._load_newest(model)

    def _tell_trouble(self, reason: str) -> None:
        if reason != self._trouble:
            self._log.error("the loaded models stay", reason=reason)
        self._trouble = reason

    def _tell_store(self, reason: str | None) -> None:
        """Log when a store cannot be read any more, and when it can again; one line each."""
        if reason is not None and not self._is_store_away:
            self._log.error("the store cannot be read; the copies that are here stay", reason=reason)
        elif reason is None and self._is_store_away:
            self._log.info("the store can be read again")
        self._is_store_away = reason is not None

    def _add(self, name: str, found: FoundModel) -> None:
        """Add a model that was not served before."""
        versions = {v.number: _version(name, v) for v in found.versions.values()}
        if found.reason is not None:
            unreadable = ModelVersion(name, UNREADABLE, found.folder)
            self._loader.failed(unreadable, found.reason)
            versions = {UNREADABLE: unreadable}
        elif not versions:
            return
        model = ServedModel(name, versions[max(versions)], versions, found.policy)
        if found.reason is None:
            model.serving = _wanted(model)
            if model.serving in versions.values():
                model.serving.state = "loading"
            self._tell_skipped(name, found)
        self._registry.add(model)

    def _tell_skipped(self, name: str, found: FoundModel) -> None:
        for number in found.without_manifest:
            if (name, number) not in self._skipped:
                self._skipped.add((name, number))
                self._log.warning("skipped: no manifest.json", model=name, version=number)

    def _refresh(self, model: ServedModel, found: FoundModel, retries: bool) -> None:
        """Take over the versions and the policy of a model from its folder."""
        if found.reason is not None or not found.versions:
            reason = found.reason or f"no version of {model.name} any more"
            if reason != model.reason and UNREADABLE not in model.versions:
                self._log.error("the loaded versions stay", model=model.name, reason=reason)
            model.reason = reason.replace(str(found.folder), model.name)
            return
        model.reason, model.policy = None, found.policy
        self._tell_skipped(model.name, found)
        before = model.versions
        model.versions = {
            number: before[number]
            if number in before and before[number].stamp == version.stamp
            else _version(model.name, version)
            for number, version in found.versions.items()
        }
        for number, version in found.versions.items():  # accepting a version leaves its manifest as it is
            model.versions[number].proposed = version.proposed
        for served in before.values():
            if model.versions.get(served.version) is not served:
                self._registry.dismiss(served)
        for served in model.versions.values():
            if retries and served.state == "failed":
                served.retry_at, served.failures = 0.0, 0

    async def _load_newest(self, model: ServedModel) -> None:
        """Load and swap in the newest version that can be loaded, or the pinned one; load those that stay in memory."""
        if UNREADABLE in model.versions or model.unloaded:
            return
        before = model.serving
        for candidate in self._candidates(model):
            if before.model is None and self._is_due(candidate):
                model.serving, candidate.state = candidate, "loading"  # callers see that it is loading
            if await self._load(candidate):
                self._swap(model, candidate, before)
                break
            if before.model is not None and candidate.version == before.version:
                break  # replaced on disk by one that fails: the copy in memory goes on
        else:
            self._keep(model)
        for number in model.policy.loaded:
            if number in model.versions:
                await self._load(model.versions[number])
        if before is not model.serving:
            self._registry.dismiss(before)

    def _candidates(self, model: ServedModel) -> list[ModelVersion]:
        if model.policy.pinned is not None:
            pinned = model.versions.get(model.policy.pinned)
            return [] if pinned is None or pinned.proposed else [pinned]
        return [model.versions[n] for n in sorted(model.versions, reverse=True) if not model.versions[n].proposed]

    def _is_due(self, served: ModelVersion) -> bool:
        """Whether a version should be loaded now: it is not, and did not fail a moment ago."""
        return served.model is None and (served.state == "loading" or self._loader.may_load(served))

    async def _load(self, served: ModelVersion) -> bool:
        """Whether the version is loaded in the end."""
        return await self._loader.load(served) if self._is_due(served) else served.model is not None

    def _swap(self, model: ServedModel, served: ModelVersion, before: ModelVersion) -> None:
        served.leaves = False
        model.serving = served  # requests that are admitted from now on get it
        if served is before:
            return
        if model.policy.pinned is None and served is not model.newest:
            self._log.warning("older version serves", model=model.name, version=served.version)
        else:
            self._log.info("version serves", model=model.name, version=served.version)

    def _keep(self, model: ServedModel) -> None:
        """No version that may serve can be loaded: what serves goes on; if nothing does, show the reason."""
        wanted = _wanted(model)
        if wanted not in model.versions.values():
            model.reason = model.reason or wanted.reason
        if model.serving.model is None:
            model.serving = wanted


def _wanted(model: ServedModel) -> ModelVersion:
    """The version that is to answer if none is named: the pinned one, else the newest; its place if it is not there."""
    number = model.policy.pinned
    if number is not None:
        pinned = model.versions.get(number)
        return _not_served(model, number) if pinned is None or pinned.proposed else pinned
    return model.newest or _only_proposed(model)


def _not_served(model: ServedModel, pinned: int) -> ModelVersion:
    """The place of a pinned version that is not there, or is proposed."""
    reason = f"version {pinned}, which {model.name} is pinned to, is not in its folder"
    if pinned in model.versions:
        reference = f"{model.name}@{pinned}"
        reason = f"{reference}, which {model.name} is pinned to, is proposed; first run vae models accept {reference}"
    return ModelVersion(model.name, pinned, model.serving.folder.parent / str(pinned), "failed", reason)


def _only_proposed(model: ServedModel) -> ModelVersion:
    """The place of a model whose versions all wait for an operator."""
    number = max(model.versions)
    reason = f"all versions are proposed; accept one with vae models accept {model.name}@{number}"
    return ModelVersion(model.name, number, model.versions[number].folder, "failed", reason, proposed=True)


def _version(name: str, found: FoundVersion) -> ModelVersion:
    return ModelVersion(
        name, found.number, found.folder, stamp=found.stamp, any_name=found.any_name, proposed=found.proposed
    )
