"""The served models: finds the version that a request names, lends it, and lists the states of all."""

from __future__ import annotations

import asyncio
from itertools import count
from types import TracebackType

from vaekit.client.wire import ModelList, ModelSummary
from vaekit.errors import UnknownModel
from vaekit.runtime import Model
from vaekit_service.errors import NotReady, Unservable
from vaekit_service.repository.loader import ModelLoader
from vaekit_service.repository.version import UNREADABLE, ModelVersion, ServedModel

UNLOADED = "unloaded; an operator may load it again"
DEFAULT = "default"  # in a path: the default model, or the version that is used if none is named


class Lease:
    """A request's use of a model version. The version stays loaded until the `with` block ends."""

    __slots__ = ("_registry", "_version")

    def __init__(self, registry: ModelRegistry, version: ModelVersion) -> None:
        self._registry, self._version = registry, version

    def __enter__(self) -> Lease:
        self._version.users += 1
        self._version.last_used = next(self._registry.ticks)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self._version.users -= 1
        if self._version.leaves:
            self._registry.release(self._version)

    @property
    def version(self) -> int:
        return self._version.version

    async def load(self) -> Model:
        """The model, which is loaded if it is not in memory.

        Raises:
            NotReady, Unservable: see ModelRegistry.lend.
        """
        if (model := self._version.model) is not None:
            return model
        return await self._registry.load_again(self._version)


class ModelRegistry:
    """The served models by name. ModelUpdates keeps them as the models folder is.

    Each model has one version that answers requests without a version. The others are loaded at the first request for
    them; at most `max_old_versions` of them stay loaded, besides those that the policy of a model names.
    """

    def __init__(self, where: str, loader: ModelLoader, *, default: str | None, max_old_versions: int) -> None:
        self._where, self._loader = where, loader
        self._configured_default = default
        self._only_model: str | None = None  # remains the default when others are added
        self._max_old = max_old_versions
        self.models: dict[str, ServedModel] = {}  # by name, ascending
        self.ticks = count(1)  # numbers the leases, so that the least recently used version is unloaded first
        self.settled = asyncio.Event()  # set once the models that were there at the start are ready or failed

    @property
    def latest(self) -> list[ModelVersion]:
        """The version of each model that answers requests without a version."""
        return [model.serving for model in self.models.values()]

    @property
    def loaded(self) -> list[ModelVersion]:
        return [s for s in self.all if s.model is not None]

    def loaded_models(self) -> list[Model]:
        return [s.model for s in self.all if s.model is not None]

    @property
    def all(self) -> list[ModelVersion]:
        return [served for model in self.models.values() for served in model.all]

    @property
    def names(self) -> list[str]:
        return list(self.models)

    @property
    def default(self) -> str | None:
        """The model behind the routes without a model name: the configured one, or the only model.

        A model that was once the only one remains the default when others are added.
        """
        return self._configured_default or self._only_model

    def add(self, model: ServedModel) -> None:
        self.models = dict(sorted({**self.models, model.name: model}.items()))

    def remove(self, name: str) -> None:
        """Stop serving a model; requests that were admitted are still answered."""
        model = self.models.pop(name)
        for served in model.all:
            self.dismiss(served)

    def choose_default(self) -> None:
        """Make the only model the default, after models were added or removed."""
        if self._only_model not in self.models:
            self._only_model = next(iter(self.models)) if len(self.models) == 1 else None

    def summary(self) -> ModelList:
        """The reply of GET /models."""
        return ModelList(default=self.default, models=[_summary(model) for model in self.models.values()])

    @property
    def ready(self) -> list[str]:
        """The names of the models that answer."""
        return [m.name for m in self.models.values() if m.serving.model is not None and not m.unloaded]

    @property
    def not_ready(self) -> dict[str, str]:
        """The models that do not answer, each with the reason."""
        return {m.name: _why_not(m) for m in self.models.values() if m.serving.model is None or m.unloaded}

    @property
    def is_loading(self) -> bool:
        """Whether a model of the start is still loading, or one is loading and none answers."""
        some_answer = self.settled.is_set() and bool(self.ready)
        return not some_answer and any(s.state == "loading" for s in self.latest)

    def unready(self) -> str | None:
        """Why requests cannot be answered; None if the registry is ready.

        Ready means that no model of the start is still loading, at least one model is ready, and so is the configured
        default model, if there is one. A model that is added later does not end the readiness.
        """
        if not self.models:
            return self._no_model()
        ready = self.ready
        if self.is_loading:
            return f"still loading: {', '.join(s.name for s in self.latest if s.state == 'loading')}"
        if not ready:
            return "; ".join(f"{m.name}: {UNLOADED if m.unloaded else m.serving.reason}" for m in self.models.values())
        wanted = self._configured_default
        if wanted is not None and wanted not in ready:
            return f"the default model {wanted!r} is not ready; ready models: {', '.join(ready)}"
        return None

    def _no_model(self) -> str:
        return f"no model in {self._where}: waiting for a bundle at <name>/<version>/"

    def lend(self, name: str | None, version: str | None) -> Lease:
        """A lease of the model that a request path names. Errors are raised here, before any work is done.

        Args:
            name: model name; None or "default": the default model.
            version: version number; None or "default": the version that is used if none is named.

        Raises:
            UnknownModel: no such model or version; the message lists the known ones.
            NotReady: the version is still loading.
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
        if name is None or (name == DEFAULT and name not in self.models):
            name = self._default_name()
        model = self.models.get(name)
        if model is None:
            raise UnknownModel(f"no model {name[:64]!r}; served models: {', '.join(self.names) or 'none'}")
        if version is None or version == DEFAULT:
            return model.serving
        for number, served in model.versions.items():
            if str(number) == version:
                served.leaves &= model.unloaded  # asked for by number: it stays as long as the other old versions
                return served
        known = ", ".join(map(str, model.versions))
        raise UnknownModel(f"no version {version[:20]!r} of model {name!r}; versions: {known}")

    def _default_name(self) -> str:
        if not self.models:
            raise Unservable(self._no_model())
        if self.default is None:
            raise UnknownModel(
                f"no default model; name one in the path, as in /models/{self.names[0]}/elbo; "
                f"served models: {', '.join(self.names)}"
            )
        return self.default

    async def load_again(self, served: ModelVersion) -> Model:
        """Load a version that is not in memory; callers that ask for it together share one load."""
        while served.model is None:
            self._check(served)
            if served.loading is None:
                served.state = "loading"
                served.loading = asyncio.create_task(self._load_old(served))
            await asyncio.shield(served.loading)  # a caller that disconnects does not cancel it for the others
        return served.model

    def _check(self, served: ModelVersion) -> None:
        if (model := self.models.get(served.name)) is not None and model.unloaded:
            raise Unservable(f"model {served.name!r} is {UNLOADED}")
        if served.model is not None or served.loading is not None or self._loader.may_load(served):
            return
        what = f"version {served.version} of model {served.name!r}"
        if served.state == "loading":
            raise NotReady(f"{what} is still loading; retry later")
        raise Unservable(f"{what} failed to load: {served.reason}")

    async def _load_old(self, served: ModelVersion) -> None:
        await self._loader.load(served)
        served.loading = None
        self._make_room(served)

    def _make_room(self, arrived: ModelVersion) -> None:
        """Unload the least recently used old versions beyond the limit."""
        old = [s for s in self.loaded if not self._is_kept(s)]
        unused = sorted((s for s in old if not s.users and s is not arrived), key=lambda s: s.last_used)
        for served in unused[: max(0, len(old) - self._max_old)]:
            self._loader.unload(served)

    def _is_kept(self, served: ModelVersion) -> bool:
        """Whether a version stays loaded: it serves, or the policy of its model names it."""
        model = self.models.get(served.name)
        if model is None or model.unloaded:
            return False
        named = served.version in model.policy.loaded and model.versions.get(served.version) is served
        return named or model.serving is served

    def dismiss(self, served: ModelVersion) -> None:
        """Unload a version after its last request, unless it is kept."""
        if served.model is None or self._is_kept(served):
            return
        served.leaves = True
        self.release(served)

    def release(self, served: ModelVersion) -> None:
        """Unload a version that leaves, if no request uses it any more and it is not kept again."""
        if served.leaves and not served.users and served.model is not None and not self._is_kept(served):
            self._loader.unload(served)


def _why_not(model: ServedModel) -> str:
    """Why a model does not answer."""
    return UNLOADED if model.unloaded else model.serving.reason or "still loading"


def _summary(model: ServedModel) -> ModelSummary:
    serving = model.serving
    failed = {s.version: s.reason or "" for s in model.all if s.state == "failed"}
    return ModelSummary(
        name=model.name,
        version=serving.version,
        versions=[v for v in model.versions if v != UNREADABLE],
        state="failed" if model.unloaded else "loading" if serving.state == "idle" else serving.state,
        reason=UNLOADED if model.unloaded else serving.reason or model.reason,
        failed=failed,
        pinned=model.policy.pinned,
        loaded=[s.version for s in model.all if s.model is not None],
        proposed=[number for number, s in model.versions.items() if s.proposed],
    )
