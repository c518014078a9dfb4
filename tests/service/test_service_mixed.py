"""The codecs for tables with categories and missing cells, without a model: bodies to arrays, answers to bytes."""

from __future__ import annotations

import io
import json
from typing import Any

import numpy as np
import orjson
import pytest
from numpy.typing import NDArray

from vaekit.bundle import Manifest, VectorSpec
from vaekit.bundle.input_spec import Column
from vaekit.client.wire import DecodeReply, ElboReply, SampleReply
from vaekit.errors import InputError
from vaekit.runtime import Model
from vaekit_service.codecs import json_codec, npy_codec
from vaekit_service.engine.limits import Limits
from vaekit_service.example import cell
from vaekit_service.messages import Answer, Target

COLOUR = Column(name="colour", kind="category", levels=("blue", "green, dark", "red"), may_be_missing=True)
SPEC = VectorSpec(
    columns=(
        Column(name="load"),
        COLOUR,
        Column(name="stops", kind="count", may_be_missing=True),
        Column(name="größe", kind="category", levels=("L", "S")),
    )
)
NUMBERS = VectorSpec(columns=(Column(name="a"), Column(name="b")))
ROWS = [[1.5, "red", 2, "S"], [2.5, None, None, "L"]]
X = np.array([[1.5, 2.0, 2.0, 1.0], [2.5, np.nan, np.nan, 0.0]])


def manifest(model: Model, spec: VectorSpec = SPEC) -> Manifest:
    return model.manifest.model_copy(update={"input": spec})


def target(model: Model, operation: Any = "elbo", spec: VectorSpec = SPEC) -> Target:
    return Target(operation, manifest(model, spec), 100)


def read(
    model: Model, inputs: Any, operation: Any = "elbo", spec: VectorSpec = SPEC, *, strict: bool = False
) -> NDArray[Any]:
    body = json.dumps({"inputs": inputs, "strict": strict}).encode()
    parsed = json_codec.read(bytearray(body), {}, target(model, operation, spec))
    assert parsed.rows is not None
    return parsed.rows


@pytest.mark.parametrize("operation", ["encode", "elbo"])
def test_rows_with_level_names_and_nulls_are_read_as_lists_and_as_objects(breast_cancer: Model, operation: str) -> None:
    objects = [dict(zip(SPEC.names, row, strict=True)) for row in ROWS]
    absent = [objects[0], {"load": 2.5, "größe": "L"}]
    for inputs in (ROWS, objects, absent):
        np.testing.assert_array_equal(read(breast_cancer, inputs, operation), X)


def test_an_npy_body_has_level_indices_and_nan(breast_cancer: Model) -> None:
    file = io.BytesIO()
    np.save(file, X)
    parsed = npy_codec.read(bytearray(file.getvalue()), {}, target(breast_cancer))
    np.testing.assert_array_equal(parsed.rows, X)


@pytest.mark.parametrize(
    ("at", "value", "message"),
    [
        (0, None, "row 1, feature 'load': missing"),
        (0, "x", "row 1, feature 'load': not a number: 'x'"),
        (1, True, "row 1, feature 'colour': not one of its 3 levels ('blue', 'green, dark', 'red'): True"),
        (1, "pink", "row 1, feature 'colour': not one of its 3 levels ('blue', 'green, dark', 'red'): 'pink'"),
        (2, 0.5, "row 1, feature 'stops': not a whole number of at least 0: 0.5"),
        (3, None, "row 1, feature 'größe': missing"),
    ],
)
def test_a_cell_that_its_column_does_not_accept_is_refused(
    breast_cancer: Model, at: int, value: Any, message: str
) -> None:
    bad = list(ROWS[0])
    bad[at] = value
    for inputs in ([ROWS[0], bad], [dict(zip(SPEC.names, row, strict=True)) for row in (ROWS[0], bad)]):
        with pytest.raises(InputError) as caught:
            read(breast_cancer, inputs, strict=True)
        assert str(caught.value) == message


@pytest.mark.parametrize(("value", "message"), [(None, "missing"), ("x", "not a number: 'x'")])
def test_strings_and_nulls_are_refused_if_all_columns_are_required_numbers(
    breast_cancer: Model, value: Any, message: str
) -> None:
    with pytest.raises(InputError, match=f"^row 0, feature 'b': {message}$"):
        read(breast_cancer, [[1.0, value]], spec=NUMBERS, strict=True)


def test_commas_in_level_names_do_not_count_as_cells(breast_cancer: Model) -> None:
    read(breast_cancer, [[1.5, "green, dark", 2, "S"]] * 100)


def answer(**rows: NDArray[Any]) -> Answer:
    return Answer("m", 1, 2, dict(rows), {"seed": 1}, SPEC)


def records(content: bytes) -> NDArray[Any]:
    return np.lib.format.read_array(io.BytesIO(content), allow_pickle=False)


def test_levels_are_names_in_json_and_indices_in_npy() -> None:
    x = np.array([[1.5, 2.0, 2.0, 1.0], [2.5, 0.0, 1.0, 0.0]])
    drawn = answer(latents=np.zeros((2, 1), np.float32), samples=x, members=np.array([1, 0]))
    reply = SampleReply.model_validate(orjson.loads(json_codec.write(drawn)))
    assert reply.samples == [[1.5, "red", 2.0, "S"], [2.5, "blue", 1.0, "L"]]
    assert reply.members == [1, 0]
    np.testing.assert_array_equal(records(npy_codec.write(drawn))["samples"], x)
    np.testing.assert_array_equal(records(npy_codec.write(drawn))["members"], [1, 0])


def test_probabilities_of_levels_are_grouped_by_column() -> None:
    p = np.array([[0.1, 0.2, 0.7, 0.4, 0.6], [0.5, 0.25, 0.25, 1.0, 0.0]])
    decoded = answer(mean=np.zeros((2, 4)), scale=np.ones((2, 4)), probabilities=p)
    reply = DecodeReply.model_validate(orjson.loads(json_codec.write(decoded)), extra="ignore")
    assert reply.mean == [[0.0, "blue", 0.0, "L"]] * 2
    assert reply.probabilities == {"colour": p[:, :3].tolist(), "größe": p[:, 3:].tolist()}
    found = records(npy_codec.write(decoded))["probabilities"]
    assert found.dtype.names == ("colour", "größe")
    np.testing.assert_array_equal(found["colour"], p[:, :3])
    np.testing.assert_array_equal(found["größe"], p[:, 3:])


@pytest.mark.parametrize(("name", "version"), [("a", 1), ("é", 1), ("漢字", 3), ("x" * 70_000, 2)])
def test_an_npy_reply_has_the_lowest_version_that_can_hold_its_field_names(name: str, version: int) -> None:
    spec = VectorSpec(columns=(Column(name=name, kind="category", levels=("p", "q")),))
    content = npy_codec.write(Answer("m", 1, 1, {"probabilities": np.array([[0.25, 0.75]])}, {}, spec))
    assert content[6] == version
    found = np.lib.format.read_array(io.BytesIO(content), allow_pickle=False, max_header_size=10**6)
    np.testing.assert_array_equal(found["probabilities"][name], [[0.25, 0.75]])


def test_a_row_without_a_p_value_has_null_verdicts_in_json_and_false_in_npy() -> None:
    told: dict[str, NDArray[Any]] = {
        name: np.zeros(2) for name in ("elbo", "log_likelihood", "kl", "log_evidence", "score")
    }
    p_value, odd = np.array([0.5, np.nan]), np.array([True, False])
    verdict = {"p_value": p_value, "p_value_tail": p_value, "is_anomaly": odd, "is_discovery": odd}
    scored = answer(**told, **verdict, observed_count=np.array([4, 2]))
    facts = {"alpha": 0.6, "p_value_reason": "rows with 2", "num_samples": 2}
    reply = ElboReply.model_validate({**orjson.loads(json_codec.write(scored)), **facts}, extra="ignore")
    assert (reply.p_value, reply.is_anomaly, reply.observed_count) == ([0.5, None], [True, None], [4, 2])
    assert (reply.p_value_tail, reply.is_discovery) == (reply.p_value, reply.is_anomaly)
    array = records(npy_codec.write(scored))
    for name in ("p_value", "p_value_tail"):
        np.testing.assert_array_equal(array[name], p_value)
    for name in ("is_anomaly", "is_discovery"):
        np.testing.assert_array_equal(array[name], odd)
    np.testing.assert_array_equal(array["observed_count"], [4, 2])


def test_the_row_limit_depends_on_the_widest_array_of_a_reply(breast_cancer: Model) -> None:
    limits = Limits(max_rows=10**9, max_cells=1000, max_work=1000)
    wide = VectorSpec(columns=(Column(name="a", kind="category", levels=tuple(map(str, range(50)))),))
    assert limits.rows_per_request(manifest(breast_cancer, wide)) == 20  # 50 levels
    assert limits.rows_per_request(manifest(breast_cancer, NUMBERS)) == 125  # 8 latent dimensions
    many = manifest(breast_cancer, NUMBERS).model_copy(update={"members": 5})
    assert limits.rows_per_request(many) == 25
    limits.check_work(50, 2, many)
    with pytest.raises(Exception, match="51 rows; with 2 draws one request to this model may have at most 50"):
        limits.check_work(51, 2, many)


@pytest.mark.parametrize(
    ("kind", "drawn", "shown"),
    [("real", 1.23456, 1.235), ("count", 2.6, 3), ("count", -0.2, 0), ("binary", 0.7, 1), ("fraction", 1.0, 1.0)],
)
def test_an_example_cell_is_accepted_by_its_column(kind: Any, drawn: float, shown: float) -> None:
    assert cell(drawn, Column(name="a", kind=kind)) == shown
    assert cell(2.0, COLOUR) == "red"
