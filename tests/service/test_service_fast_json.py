"""The fast JSON parser returns the same as pydantic, or None."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vaekit.errors import VaeError
from vaekit_service.codecs import json_codec
from vaekit_service.messages import Operation, Target

numbers = st.one_of(
    st.integers(-(2**70), 2**70),
    st.floats(allow_nan=False, allow_infinity=False),
    st.sampled_from(
        ["1e400", "-0", "1e-400", "0.1e1", "01", "1.", "NaN", "Infinity", "true", "null", '"1"', "[1]", "{}"]
    ),
)
D, Z = 3, 2


@dataclass(frozen=True)
class _Manifest:
    """The fields of a manifest that the JSON reader uses."""

    input: Any
    latent_dim: int = Z
    name: str = "small"


@pytest.fixture(scope="session")
def spec() -> Any:
    from vaekit.bundle.input_spec import Column, VectorSpec

    return VectorSpec(columns=[Column(name=name) for name in "abc"])


def target(spec: Any, operation: Operation) -> Target:
    return Target(operation, _Manifest(spec), 5)  # type: ignore[arg-type]  # a stand-in


def both(body: bytes, target: Target) -> tuple[Any, Any]:
    """The options and rows, or the error, with simdjson and without it."""
    ways = []
    for simdjson in (json_codec.simdjson, None):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(json_codec, "simdjson", simdjson)
            try:
                parsed = json_codec.read(body, {}, target)
            except VaeError as exc:
                ways.append((type(exc), str(exc)))
                continue
            given = parsed.options.model_dump(exclude={"inputs", "latents"})
            ways.append((given, None if parsed.rows is None else parsed.rows.tolist()))
    return ways[0], ways[1]


@given(
    st.lists(st.lists(numbers, min_size=2, max_size=4), max_size=7),
    st.sampled_from(["encode", "decode", "elbo"]),
    st.dictionaries(
        st.sampled_from(["num_samples", "seed", "features", "alpha", "fdr", "members", "inputs", "n"]),
        st.sampled_from(["2", "0.5", "true", "null", '"x["', "[0, 1]", "-1", "[[1, 2, 3]]", "2.0"]),
        max_size=2,
    ),
    st.sampled_from(["", " ", "\ufeff", "[", "{"]),
    st.sampled_from(["", "\n", "x", "]", "\x00"]),
)
@settings(deadline=None, max_examples=400)
def test_both_parsers_read_a_body_in_the_same_way(
    spec: Any, rows: Any, operation: Operation, options: dict[str, str], before: str, after: str
) -> None:
    text = ", ".join("[" + ", ".join(c if isinstance(c, str) else repr(c) for c in row) + "]" for row in rows)
    field = "latents" if operation == "decode" else "inputs"
    rest = "".join(f', "{name}": {value}' for name, value in options.items())
    body = f'{before}{{"{field}": [{text}]{rest}}}{after}'.encode()
    with_simdjson, without = both(body, target(spec, operation))
    assert with_simdjson == without


@pytest.mark.skipif(json_codec.simdjson is None, reason="pysimdjson is not built for this Python")
@pytest.mark.parametrize("operation", ["encode", "decode", "elbo"])
def test_rows_of_numbers_are_parsed_by_simdjson_bit_for_bit(spec: Any, operation: Operation) -> None:
    width = Z if operation == "decode" else D
    rng = np.random.default_rng(0)
    rows = rng.standard_normal((5, width)) * 10.0 ** rng.integers(-300, 300, (5, width))
    body = json.dumps({"latents" if operation == "decode" else "inputs": rows.tolist()}).encode()
    parsed = json_codec.read_numbers(body, target(spec, operation))
    assert parsed is not None
    assert parsed.rows is not None
    np.testing.assert_array_equal(parsed.rows, rows)


@pytest.mark.parametrize(
    "body",
    [
        b'{"inputs": [[1, 2, 3]], "inputs": [[4, 5, 6]]}',  # the last one counts, as in other JSON parsers
        b'{"inputs": [[[1, 2], [], 3]]}',
        b'{"inputs": [[[1], [2], [3]]]}',
        b'{"inputs": [[1, 2, 3], [4, 5]]}',
        b'{"inputs": [1, 2, 3]}',
        b'{"inputs": [{"a": 1, "b": 2, "c": 3}]}',
        b'{"inputs": {"a": [1, 2, 3]}}',
        b'{"inputs": [[1, 2, 3]], "\xff": 1}',
        b"[[1, 2, 3]]",
        b"",
    ],
)
def test_any_other_body_is_left_to_pydantic(spec: Any, body: bytes) -> None:
    assert json_codec.read_numbers(body, target(spec, "elbo")) is None
    with_simdjson, without = both(body, target(spec, "elbo"))
    assert with_simdjson == without
