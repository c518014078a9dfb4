"""What the admin routes do with models: look again, pin, unpin, load and unload. It holds until the service ends."""

from __future__ import annotations

from vaekit.bundle.policy import Policy
from vaekit.errors import InputError
from vaekit_service.errors import StillServes
from vaekit_service.repository.registry import ModelRegistry
from vaekit_service.repository.updates import ModelUpdates
from vaekit_service.repository.version import ServedModel


class ModelActions:
    """Changes the policies of served models in memory. Nothing is written to the models folder."""

    def __init__(self, registry: ModelRegistry, updates: ModelUpdates) -> None:
        self._registry, self._updates = registry, updates

    async def reload(self) -> None:
        """Look at the models folder now, and wait until what it found is loaded."""
        await self._updates.looked()

    async def pin(self, name: str, version: str) -> None:
        """Answer requests that name no version with this version.

        Raises:
            UnknownModel: no such model or version.
            InputError: the version is proposed.
            NotReady, Unservable: the version cannot be loaded; nothing has changed.
        """
        if (served := self._registry.find(name, version)).proposed:
            reference = f"{served.name}@{served.version}"
            raise InputError(f"{reference} is proposed; first run vae models accept {reference}")
        with self._registry.lend(name, version) as lease:
            await lease.load()
            model, number = self._model(name), lease.version
            await self._set(model, Policy(default=number, loaded=self._policy(model).loaded))

    async def unpin(self, name: str) -> None:
        """Answer requests that name no version with the latest one.

        Raises:
            UnknownModel: no such model.
        """
        model = self._model(name)
        await self._set(model, Policy(loaded=self._policy(model).loaded))

    async def load(self, name: str, version: str) -> None:
        """Load a version and keep it in memory. Raises: see `pin`."""
        with self._registry.lend(name, version) as lease:
            await lease.load()
            model, kept = self._model(name), lease.version
            before = self._policy(model)
            loaded = tuple(sorted({*before.loaded, kept}))
            await self._set(model, Policy(default=before.default, loaded=loaded))

    async def unload(self, name: str, version: str) -> None:
        """Take a version out of memory after its last request. A request for it loads it again.

        Raises:
            UnknownModel: no such model or version.
            StillServes: it answers requests that name no version.
        """
        served, model = self._registry.find(name, version), self._model(name)
        if model.serving is served:
            raise StillServes(f"version {served.version} of {model.name} serves; pin another version first")
        before = self._policy(model)
        loaded = tuple(number for number in before.loaded if number != served.version)
        await self._set(model, Policy(default=before.default, loaded=loaded))
        self._registry.dismiss(served)

    async def start(self, name: str) -> None:
        """Serve a model, after a look for new versions; one that was stopped is loaded again.

        Raises:
            UnknownModel: no such model.
            NotReady, Unservable: it cannot be loaded.
        """
        await self._updates.looked()  # it may be new
        model = self._model(name)
        if model.unloaded:
            model.unloaded = False
            await self._updates.looked()
        with self._registry.lend(name, None) as lease:
            await lease.load()

    async def stop(self, name: str) -> None:
        """Take all versions of a model out of memory, each after its last request. From now on requests are refused.

        Raises:
            UnknownModel: no such model.
        """
        model = self._model(name)
        model.unloaded = True
        for served in model.all:
            self._registry.dismiss(served)

    def _model(self, name: str) -> ServedModel:
        return self._registry.models[self._registry.find(name, None).name]

    def _policy(self, model: ServedModel) -> Policy:
        """The policy that the next change starts from: another call may have changed it since the last look."""
        return self._updates.overridden(model.name) or model.policy

    async def _set(self, model: ServedModel, policy: Policy) -> None:
        self._updates.override(model.name, policy)
        await self._updates.looked()
