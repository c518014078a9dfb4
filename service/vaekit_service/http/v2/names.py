"""The names of models under the Open Inference Protocol: each bundle has one for each operation.

The name of a bundle has no dot, so `a.encode` is always the encoder of the bundle `a`.
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

from vaekit.errors import UnknownModel
from vaekit_service.messages import Operation
from vaekit_service.repository.registry import Lease, ModelRegistry
from vaekit_service.repository.version import ModelVersion

OPERATION_OF: dict[str, Operation] = {"": "elbo", ".encode": "encode", ".decode": "decode", ".sample": "sample"}
SUFFIX_OF = {operation: suffix for suffix, operation in OPERATION_OF.items()}
_SHOWN = 100  # characters of a name in a message


class V2Name(NamedTuple):
    """The name of a model, as a bundle and an operation."""

    bundle: str
    operation: Operation


@lru_cache(256)
def parse(name: str) -> V2Name:
    """The bundle and the operation that a name means.

    Raises:
        UnknownModel: the name has a dot and no operation behind it.
    """
    bundle, dot, suffix = name.partition(".")
    operation = OPERATION_OF.get(dot + suffix)
    if operation is None or not bundle:
        raise _unknown(name, None)
    return V2Name(bundle, operation)


def names_of(bundle: str) -> list[str]:
    """The models of a bundle."""
    return [bundle + suffix for suffix in OPERATION_OF]


def find(registry: ModelRegistry, name: str, version: str | None) -> tuple[V2Name, ModelVersion]:
    """The version that a path names, in any state.

    Raises:
        UnknownModel: no such model or version.
    """
    named = _known(registry, name)
    try:
        return named, registry.find(named.bundle, version)
    except UnknownModel as exc:
        raise _unknown(name, version) from exc


def lend(registry: ModelRegistry, name: str, version: str | None) -> tuple[V2Name, Lease]:
    """A lease of the model that a path names.

    Raises:
        UnknownModel: no such model or version.
        NotReady, Unservable: see ModelRegistry.lend.
    """
    named = _known(registry, name)
    try:
        return named, registry.lend(named.bundle, version)
    except UnknownModel as exc:
        raise _unknown(name, version) from exc


def _known(registry: ModelRegistry, name: str) -> V2Name:
    named = parse(name)
    if named.bundle not in registry.models:  # `default`, which our own paths take, is no model of the index
        raise _unknown(name, None)
    return named


def _unknown(name: str, version: str | None) -> UnknownModel:
    """With the words of Triton, which other programs look for."""
    which = "" if version is None else f" version {version[:20]}"
    return UnknownModel(f"Request for unknown model: {name[:_SHOWN]!r}{which} is not found")
