"""Replies that are a sheet of images: which requests can have one, and what one of /elbo needs beside the answer."""

from __future__ import annotations

from dataclasses import replace
from time import monotonic
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vaekit.bundle.input_spec import ImageSpec
from vaekit.client.wire import DecodeOptions, ElboOptions, EncodeOptions
from vaekit.runtime import Model
from vaekit.runtime.results import Decoded, Posterior
from vaekit_service.codecs.image.sheet import INPUT, RECONSTRUCTION
from vaekit_service.components import Components
from vaekit_service.engine.answers import make_job
from vaekit_service.messages import Answer, Operation, ParsedRequest
from vaekit_service.stages import Stages


def why_none(operation: Operation, model: Model) -> str | None:
    """Why the replies of an operation have no sheet; None if they have one."""
    name = model.manifest.name
    if operation == "encode":
        return "/encode answers latent vectors, which are no images"
    if not isinstance(model.manifest.input, ImageSpec):
        return f"model {name!r} has rows of {model.manifest.input.dim} columns, not images"
    if operation == "elbo" and "surprise" not in model.manifest.operations:
        return f"model {name!r} was published without the log-likelihood of each pixel"
    return None


def with_surprises(parsed: ParsedRequest) -> ParsedRequest:
    """The request with the log-likelihood of each pixel, if it is one of /elbo."""
    if not isinstance(parsed.options, ElboOptions):
        return parsed
    return replace(parsed, options=parsed.options.model_copy(update={"features": True}))


async def with_reconstructions(
    answer: Answer, model: Model, x: NDArray[Any], components: Components, stages: Stages
) -> Answer:
    """The answer with the images x (N, H, W, C) and their reconstructions.

    A reconstruction is E[x|z] of the mean latent vector, for an ensemble that of the member with the largest q(m|x).

    Raises:
        VaeError: see make_job and Engine.submit.
    """
    found = await _run("encode", model, ParsedRequest(EncodeOptions(), x), components, stages)
    assert isinstance(found, Posterior)
    z, members = found.mu, None
    if found.weights is not None:
        best = found.weights.argmax(axis=1)  # (N,)
        z, members = found.mu[np.arange(len(best)), best], best.tolist()
    options = DecodeOptions(members=members)
    decoded = await _run("decode", model, ParsedRequest(options, z.astype(np.float64)), components, stages)
    assert isinstance(decoded, Decoded)
    return replace(answer, rows={**answer.rows, INPUT: x, RECONSTRUCTION: decoded.mean})


async def _run(
    operation: Operation, model: Model, parsed: ParsedRequest, components: Components, stages: Stages
) -> object:
    job = make_job(operation, model, parsed, components.limits, components.max_batch_rows)
    job.stages = stages
    return await components.engine.submit(job, monotonic() + components.queue_timeout)
