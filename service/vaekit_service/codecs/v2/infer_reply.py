"""Writes the reply to an infer request of the Open Inference Protocol. N rows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import orjson
from numpy.typing import NDArray

from vaekit.errors import InputError
from vaekit.tabular.explained_cells import named
from vaekit.tabular.levels import level_slices
from vaekit_service.codecs.v2 import tensors
from vaekit_service.codecs.v2.infer_request import InferRequest
from vaekit_service.codecs.windows import known_similar
from vaekit_service.messages import Answer

PROBABILITIES = "probabilities"  # one output per category: probabilities.<column>
_VERDICTS = ("is_anomaly", "is_discovery")
_TEXTS = frozenset({"novel", "tolerated", "explanation", "similar"})


class ReplyForm(NamedTuple):
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
    found = _arrays(answer)
    wanted = dict.fromkeys(found, form.binary) if form.outputs is None else form.outputs
    if not wanted.keys() <= found.keys():
        raise _absent(wanted, found, answer)
    outputs, tail = [], []
    unknown = _unknown(answer)
    for name, binary in wanted.items():
        listed, data = _output(name, found[name], answer, binary, unknown)
        outputs.append(listed)
        tail.append(data)
    reply = {
        "model_name": form.model,
        "model_version": str(answer.version),
        **({} if form.id is None else {"id": form.id}),
        "parameters": parameters_of(answer),
        "outputs": outputs,
    }
    head = orjson.dumps(reply, option=orjson.OPT_SERIALIZE_NUMPY)
    return (b"".join([head, *tail]), len(head)) if any(wanted.values()) else (head, None)


def _output(
    name: str, a: NDArray[Any], answer: Answer, binary: bool, unknown: NDArray[np.bool_] | None
) -> tuple[dict[str, Any], bytes]:
    """(an output as the JSON lists it, its bytes behind the JSON)."""
    datatype = tensors.datatype_of(a.dtype)
    if datatype is None:
        texts = _texts(name, a, answer)
        listed: dict[str, Any] = {"name": name, "datatype": "BYTES", "shape": (len(a),)}
        data = tensors.elements(texts) if binary else b""
    else:
        listed = {"name": name, "datatype": datatype, "shape": a.shape}
        data = tensors.to_bytes(a, datatype) if binary else b""
    if binary:
        listed["parameters"] = {"binary_data_size": len(data)}
    elif datatype is None:
        listed["data"] = texts
    else:
        lost = None if datatype != "BOOL" else unknown if name in _VERDICTS else answer.unscored
        listed["data"] = _values(a, lost)
    return listed, data


def parameters_of(answer: Answer) -> dict[str, Any]:
    """The facts of an answer. Those that are None are left out, and a list is text, as JSON."""
    return {
        name: orjson.dumps(fact).decode() if isinstance(fact, list) else fact
        for name, fact in answer.facts.items()
        if fact is not None
    }


def _arrays(answer: Answer) -> dict[str, NDArray[Any]]:
    """The outputs of an answer by name, (N, ...), without those that are null."""
    found: dict[str, NDArray[Any]] = {}
    for name, a in answer.rows.items():
        if a is None:
            continue
        if name == PROBABILITIES:
            slices = level_slices(answer.spec)
            found |= {f"{PROBABILITIES}.{column}": a[:, at] for column, at in slices.items()}
        else:
            found[name] = a
    return found


def _absent(wanted: Mapping[str, bool], found: Mapping[str, Any], answer: Answer) -> InputError:
    absent = next(name for name in wanted if name not in found)
    reason = answer.facts.get("p_value_reason")
    why = f"; {reason}" if reason and (absent.startswith("p_value") or absent in _VERDICTS) else ""
    return InputError(f"unexpected inference output {absent[:64]!r}; outputs of this reply: {', '.join(found)}{why}")


def _texts(name: str, a: NDArray[Any], answer: Answer) -> list[str]:
    """The texts of an output that is no numbers; lists as JSON, and empty for a row without names."""
    if name == "explanation":
        return [orjson.dumps(cells).decode() for cells in named(a, answer.spec)]
    if name == "similar":
        return [orjson.dumps(rows).decode() for rows in known_similar(a, answer.spec)]
    if name in _TEXTS:
        return [orjson.dumps(names).decode() if names else "" for names in a]
    return [str(text) for text in a.tolist()]


def _unknown(answer: Answer) -> NDArray[np.bool_] | None:
    """The rows without a p-value, (N,); None: all have one."""
    p_value = answer.rows.get("p_value")
    if p_value is None:
        return None
    unknown: NDArray[np.bool_] = np.isnan(p_value)
    return unknown if unknown.any() else None


def _values(a: NDArray[Any], lost: NDArray[np.bool_] | None) -> Any:
    """The values of an output, flat, for orjson, which writes NaN as null.

    Args:
        a: (N, ...).
        lost: the rows where a boolean is null too, (N,). Integers never are, since clients make arrays of them.
    """
    if lost is not None:
        return [None if one else value for one, value in zip(lost, a.tolist(), strict=True)]
    flat = a if a.ndim == 1 else a.reshape(-1)
    return flat if flat.flags.c_contiguous else flat.copy()
