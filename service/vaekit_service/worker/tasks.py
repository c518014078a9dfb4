"""The tasks of the worker process. Their first argument is the same for many tasks, and is sent once."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from vaekit.bundle.input_spec import ImageSpec, VectorSpec
from vaekit_service.codecs import instances, json_codec
from vaekit_service.codecs.v2 import infer_reply
from vaekit_service.codecs.v2.infer_reply import ReplyForm
from vaekit_service.codecs.v2.infer_request import InferRequest
from vaekit_service.codecs.v2.read import read_infer
from vaekit_service.messages import Answer, Body, ParsedRequest, Target


def read(target: Target, body: Body, query: Mapping[str, str]) -> ParsedRequest:
    """Read a JSON body; see json_codec.read."""
    return json_codec.read(body, query, target)


def read_v2(target: Target, body: Body, head_bytes: int | None) -> tuple[InferRequest, ParsedRequest | None] | None:
    """Read an infer request; see codecs/v2/read.py."""
    return read_infer(target, body, head_bytes)


def write_v2(spec: VectorSpec | ImageSpec, facts: dict[str, Any], form: ReplyForm) -> tuple[bytes, int | None]:
    """Write the reply to an infer request; see infer_reply.write. Arguments as for `write`."""
    return infer_reply.write(Answer(**facts, spec=spec), form)


def write(spec: VectorSpec | ImageSpec, facts: dict[str, Any]) -> bytes:
    """Write a JSON reply; see json_codec.write.

    Args:
        spec: of the answer.
        facts: the other fields of the answer.
    """
    return json_codec.write(Answer(**facts, spec=spec))


def read_instances(target: Target, body: Body, query: Mapping[str, str]) -> ParsedRequest:
    """Read a body of `instances`; see instances.read."""
    return instances.read(body, query, target)


def write_predictions(spec: VectorSpec | ImageSpec, facts: dict[str, Any]) -> bytes:
    """Write a reply of `predictions`; see instances.write. Args: see `write`."""
    return instances.write(Answer(**facts, spec=spec))
