"""The scorer of `vae score`: a model in this process, a running service, or actors of Ray."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from vaekit.bundle.manifest import Precision
    from vaekit.scoring import Scorer
    from vaekit.scoring.batch.folder import Engine
    from vaekit.scoring.scorers import ScoringOptions


@contextmanager
def scorer_of(
    model: str,
    models: Path,
    url: str | None,
    key: str | None,
    device: str,
    precision: Precision,
    scoring: ScoringOptions,
) -> Iterator[Scorer]:
    """The model in this process, or the service at `url`; it is closed at the end."""
    from vaekit.scoring import LocalScorer, RemoteScorer, locate, split_reference

    if url is None:
        from vaekit.runtime import Model
        from vaekit.runtime.cpu_count import cpu_count

        with Model.load(locate(model, models), device=device, threads=1, precision=precision) as loaded:
            yield LocalScorer(loaded, **scoring, at_once=cpu_count() if loaded.device == "cpu" else 1)
        return
    from vaekit.client import Client
    from vaekit.scoring.remote import REMOTE_RETRIES, REMOTE_WAIT

    with Client(url, key=key, retries=REMOTE_RETRIES, longest_wait=REMOTE_WAIT) as client:
        yield RemoteScorer(client, *split_reference(model), **scoring)


def cluster_of(
    model: str,
    models: Path,
    url: str | None,
    device: str,
    precision: Precision,
    actors: str | None,
    scoring: ScoringOptions,
) -> AbstractContextManager[Engine]:
    """Actors of Ray that load the model.

    Raises:
        InputError: a service is asked for too.
    """
    from vaekit.errors import InputError
    from vaekit.scoring import locate
    from vaekit.scoring.batch.ray_engine import Actors, ScorerFactory, on_ray

    if url is not None:
        raise InputError("--engine ray: cannot be combined with --url, because Ray actors load the model themselves")
    bundle = str(locate(model, models).absolute())
    factory = ScorerFactory(bundle, scoring, precision, "cuda" if device == "cuda" else "cpu")
    return on_ray(factory, Actors.of(actors))
