"""Writes the reply to an infer request of the Open Inference Protocol. N rows."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray

from vaekit.errors import InputError
from vaekit.tabular.explained_cells import named
from vaekit.tabular.levels import level_slices
from vaekit_service.codecs.v2 import tensors
from vaekit_service.codecs.v2.infer_request import InferRequest
from vaekit_service.codecs.v2.tensors import Tensor
from vaekit_service.codecs.windows import known_similar
from vaekit_service.messages import Answer

PROBABILITIES = "probabilities"  # one output per category: probabilities.<column>
_VERDICTS = ("is_anomaly", "is_discovery")
_LISTS = ("novel", "tolerated")


@dataclass(frozen=True)
class ReplyForm:
    """What a caller wants of a reply."""

    model: str  # as the caller named it
    id: str | None = None
    outputs: Mapping[str, bool] | None = None  # the names, and whether in bytes; None: all
    binary: bool = False  # whether in bytes, if there are no names

    @staticmethod
    def of(model: str, request: InferRequest) -> ReplyForm:
        return ReplyForm(model, request.id, request.outputs, request.binary)


def write(answer: Answer, form: ReplyForm) -> tuple[bytes, int | None]:
    """(the body, the bytes of its JSON part if tensors in bytes follow, else None).

    Raises:
        InputError: a requested output is not there.
    """
    found = {tensor.name: tensor for tensor in outputs_of(answer)}
    wanted = dict.fromkeys(found, form.binary) if form.outputs is None else form.outputs
    if absent := next((name for name in wanted if name not in found), None):
        reason = answer.facts.get("p_value_reason")
        why = f"; {reason}" if reason and (absent.startswith("p_value") or absent in _VERDICTS) else ""
        raise InputError(f"unexpected inference output {absent[:64]!r}; outputs of this reply: {', '.join(found)}{why}")
    outputs, tail = [], []
    unknown = _unknown(answer)
    for name, binary in wanted.items():
        tensor = found[name]
        listed: dict[str, Any] = {"name": name, "datatype": tensor.datatype, "shape": tensor.shape}
        if binary:
            tail.append(data := tensors.to_bytes(tensor))
            listed["parameters"] = {"binary_data_size": len(data)}
        else:
            listed["data"] = _values(tensor, unknown)
        outputs.append(listed)
    reply = {
        "model_name": form.model,
        "model_version": str(answer.version),
        **({} if form.id is None else {"id": form.id}),
        "parameters": parameters_of(answer),
        "outputs": outputs,
    }
    head = orjson.dumps(reply, option=orjson.OPT_SERIALIZE_NUMPY)
    return (b"".join([head, *tail]), len(head)) if tail else (head, None)


def parameters_of(answer: Answer) -> dict[str, Any]:
    """The facts of an answer. Those that are None are left out, and a list is text, as JSON."""
    facts = {name: fact for name, fact in answer.facts.items() if fact is not None}
    return {name: orjson.dumps(fact).decode() if isinstance(fact, list) else fact for name, fact in facts.items()}


def outputs_of(answer: Answer) -> Iterable[Tensor]:
    """All outputs of an answer, without those that are null."""
    for name, a in answer.rows.items():
        if a is None:
            continue
        if name == PROBABILITIES:
            for column, at in level_slices(answer.spec).items():
                yield _tensor(f"{PROBABILITIES}.{column}", a[:, at])
        else:
            yield _tensor(name, _texts(name, a, answer))


def _tensor(name: str, a: NDArray[Any]) -> Tensor:
    return Tensor(name, tensors.datatype_of(a.dtype), a.shape, np.ascontiguousarray(a).reshape(-1))


def _texts(name: str, a: NDArray[Any], answer: Answer) -> NDArray[Any]:
    """The array of an output; what is not numbers as text (N,), lists as JSON and empty for a row without any."""
    if name in _LISTS:
        found: Iterable[str] = (orjson.dumps(names).decode() if names else "" for names in a)
    elif name == "explanation":
        found = (orjson.dumps(cells).decode() for cells in named(a, answer.spec))
    elif name == "similar":
        found = (orjson.dumps(rows).decode() for rows in known_similar(a, answer.spec))
    else:
        return a
    texts = np.empty(len(a), dtype=object)
    texts[:] = list(found)
    return texts


def _unknown(answer: Answer) -> NDArray[np.bool_] | None:
    """The rows without a p-value, (N,); None: all have one."""
    p_value = answer.rows.get("p_value")
    if p_value is None:
        return None
    unknown: NDArray[np.bool_] = np.isnan(p_value)
    return unknown if unknown.any() else None


def _values(tensor: Tensor, unknown: NDArray[np.bool_] | None) -> Any:
    """The values of a tensor for orjson, which writes NaN as null. A verdict without a p-value is null too."""
    if tensor.datatype == "BYTES":
        return tensor.flat.tolist()
    if unknown is not None and tensor.name in _VERDICTS:
        return [None if empty else flag for empty, flag in zip(unknown, tensor.flat.tolist(), strict=True)]
    return tensor.flat
