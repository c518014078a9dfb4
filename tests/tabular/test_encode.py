"""Encoding rows: every form of input gives the same array, and every fault has its own message."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vaekit.bundle import ImageSpec, VectorSpec
from vaekit.bundle.input_spec import Column
from vaekit.errors import InputError
from vaekit.tabular import encode
from vaekit.tabular.columns import in_column_order, model_order, resembling

AB = VectorSpec(columns=(Column(name="a"), Column(name="b")))
BINARY = VectorSpec(columns=(Column(name="a"), Column(name="on", kind="binary")))
COLOURS = ("blue", "green", "red")
MIXED = VectorSpec(
    columns=(
        Column(name="load"),
        Column(name="size", kind="positive", may_be_missing=True),
        Column(name="stops", kind="count"),
        Column(name="share", kind="fraction"),
        Column(name="on", kind="binary", may_be_missing=True),
        Column(name="colour", kind="category", levels=COLOURS, may_be_missing=True),
        Column(name="code", kind="category", levels=("1", "2.5", "x")),
    )
)
ROW = [1.5, 2.0, 3, 0.25, 1, "red", 2.5]
GAPS = VectorSpec(columns=tuple(Column(name=name, may_be_missing=True) for name in "ab"))
GREY = ImageSpec(height=2, width=3, channels=1)
COLOUR = ImageSpec(height=2, width=3, channels=3)
TWO_VALUED = ImageSpec(height=1, width=2, channels=1, two_valued=True)


@given(st.lists(st.tuples(*[st.floats(allow_nan=False, allow_infinity=False)] * 2), min_size=1, max_size=20))
def test_lists_mappings_and_arrays_give_the_same_rows(rows):
    mappings = [{"b": b, "a": a} for a, b in rows]
    want = np.array(rows, dtype=np.float64)
    for form in (rows, [list(row) for row in rows], mappings, want):
        got = encode(form, AB)
        assert got.dtype == np.float64
        assert got.flags.c_contiguous
        np.testing.assert_array_equal(got, want)


@pytest.mark.parametrize(
    "rows",
    [
        [[1, 2.0]],
        [(1, 2)],
        [[np.float32(1), np.int8(2)]],
        np.array([[1, 2]], dtype=np.uint8),
        np.array([[1, 2]], dtype=">f4"),
        np.asfortranarray([[1.0, 2.0]]),
    ],
)
def test_every_type_of_number_is_accepted(rows):
    np.testing.assert_array_equal(encode(rows, AB), [[1.0, 2.0]])


def test_very_large_floats_and_integers_are_accepted():
    np.testing.assert_array_equal(encode([[1e300, 2**70]], AB), [[1e300, 2.0**70]])


def test_one_column_may_be_given_by_name():
    one = VectorSpec(columns=(Column(name="a"),))
    np.testing.assert_array_equal(encode([{"a": 1}, {"a": 2}], one), [[1.0], [2.0]])


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([], "inputs: no rows, expected at least 1"),
        (np.empty((0, 2)), "inputs: no rows, expected at least 1"),
        ("rows", "inputs: expected rows, not 'rows'"),
        (7, "inputs: expected rows, not 7"),
        ({"a": 1}, "inputs: expected rows, not {'a': 1}"),
        ([1.0, 2.0], "row 0: expected a list of 2 numbers, not 1.0"),
        ([[1, 2], [1]], "row 1: 1 values, expected 2"),
        ([[1, 2], [1, 2, 3]], "row 1: 3 values, expected 2"),
        ([[1, 2], [1, "1.5"]], "row 1, feature 'b': not a number: '1.5'"),
        ([[1, 2], [[1], 2]], "row 1, feature 'a': not a number: [1]"),
        ([[1, 2], [1, "x" * 99]], "row 1, feature 'b': not a number: '" + "x" * 36 + "..."),
        ([[1, 2], [float("-inf"), 1]], "row 1, feature 'a': not finite: -inf"),
        ([[1, 2], [1, 10**400]], "row 1, feature 'b': not finite: " + "1" + "0" * 36 + "..."),
        (np.array([[1.0, np.inf]]), "row 0, feature 'b': not finite: inf"),
        (np.ones((2, 3)), "inputs: shape (2, 3), expected (N, 2)"),
        (np.ones(2), "inputs: shape (2,), expected (N, 2)"),
        (np.array([["1", "2"]]), "inputs: dtype <U1 is not numeric; expected integers or floats"),
        (np.array([[1j, 2j]]), "inputs: dtype complex128 is not numeric; expected integers or floats"),
        ([{"a": 1, "b": 2}, {"a": 1}], "row 1, feature 'b': missing"),
        ([{"a": 1, "b": 2}, {"a": 1, "c": 2}], "row 1, feature 'b': missing"),
        ([{"a": 1, "B ": 2}], "column 'B ' is 'b' in the model: rename it"),
        ([{"a": 1, "b": 2}, [1, 2]], "row 1: expected an object with column names as keys, like row 0, not [1, 2]"),
        ([{"a": 1, "b": "x"}], "row 0, feature 'b': not a number: 'x'"),
    ],
)
def test_the_error_for_an_invalid_row_names_row_feature_and_value(rows, message):
    with pytest.raises(InputError) as caught:
        encode(rows, AB)
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([[1, 2], [None, 2]], "row 1, feature 'a': missing"),
        ([[1, 2], [1, float("nan")]], "row 1, feature 'b': not finite: nan"),
    ],
)
def test_a_missing_cell_of_a_column_without_missing_cells_is_refused_if_strict(rows, message):
    with pytest.raises(InputError) as caught:
        encode(rows, AB, strict=True)
    assert str(caught.value) == message


def test_a_binary_column_accepts_only_0_and_1():
    np.testing.assert_array_equal(encode([[5, 0], [5, 1.0]], BINARY), [[5, 0], [5, 1]])
    with pytest.raises(InputError, match=r"^row 1, feature 'on': not 0 or 1: 0.5$"):
        encode([[5, 0], [5, 0.5]], BINARY, strict=True)


def test_mixed_columns_are_the_same_as_lists_mappings_and_arrays():
    want = np.array([[1.5, 2.0, 3.0, 0.25, 1.0, 2.0, 1.0], [0.0, np.nan, 0.0, 1.0, np.nan, np.nan, 0.0]])
    gaps = [0, None, 0, 1, float("nan"), None, "1"]
    mappings = [dict(zip(reversed(MIXED.names), reversed(row), strict=True)) for row in (ROW, gaps)]
    for form in ([ROW, gaps], [tuple(ROW), gaps], mappings, np.array([ROW, gaps], dtype=object), want):
        np.testing.assert_array_equal(encode(form, MIXED), want)
    np.testing.assert_array_equal(encode(encode([ROW, gaps], MIXED), MIXED), want)


def test_a_mapping_may_omit_a_column_that_may_be_missing():
    absent = {name: value for name, value in zip(MIXED.names, ROW, strict=True) if name not in ("size", "colour")}
    whole = dict(zip(MIXED.names, ROW, strict=True))
    np.testing.assert_array_equal(encode([whole, absent], MIXED)[1], [1.5, np.nan, 3, 0.25, 1, np.nan, 1])
    np.testing.assert_array_equal(encode([{"b": 1.0}, {"a": 2}], GAPS), [[np.nan, 1], [2, np.nan]])


@pytest.mark.parametrize("one", [1, 1.0, "1", np.int8(1), np.float32(1)])
def test_a_level_that_is_a_number_may_be_given_as_a_number(one):
    assert encode([[*ROW[:6], one]], MIXED)[0, 6] == 0


def test_the_levels_true_and_false_may_be_given_as_booleans_and_in_any_spelling():
    spec = VectorSpec(columns=(Column(name="a", kind="category", levels=("False", "True", "maybe")),))
    cells = [[True], [False], [np.True_], ["true"], ["FALSE"], ["maybe"]]
    np.testing.assert_array_equal(encode(cells, spec).ravel(), [1, 0, 1, 1, 0, 2])


def test_a_binary_cell_may_be_a_boolean():
    np.testing.assert_array_equal(encode([[5, True], [5, False], [5, np.True_]], BINARY)[:, 1], [1, 0, 1])


@pytest.mark.parametrize(
    ("at", "cell", "message"),
    [
        ("load", None, "row 1, feature 'load': missing"),
        ("load", float("nan"), "row 1, feature 'load': not finite: nan"),
        ("load", "red", "row 1, feature 'load': not a number: 'red'"),
        ("size", 0, "row 1, feature 'size': not above 0: 0.0"),
        ("size", "", "row 1, feature 'size': not a number: ''"),
        ("size", float("inf"), "row 1, feature 'size': not finite: inf"),
        ("size", 10**400, "row 1, feature 'size': not finite: 1" + "0" * 36 + "..."),
        ("stops", -1, "row 1, feature 'stops': not a whole number of at least 0: -1.0"),
        ("stops", 2.5, "row 1, feature 'stops': not a whole number of at least 0: 2.5"),
        ("share", 1.01, "row 1, feature 'share': not between 0 and 1: 1.01"),
        ("on", 2, "row 1, feature 'on': not 0 or 1: 2.0"),
        ("colour", "pink", "row 1, feature 'colour': not one of its 3 levels ('blue', 'green', 'red'): 'pink'"),
        ("colour", 1, "row 1, feature 'colour': not one of its 3 levels ('blue', 'green', 'red'): 1"),
        ("colour", ["red"], "row 1, feature 'colour': not one of its 3 levels ('blue', 'green', 'red'): ['red']"),
        ("code", None, "row 1, feature 'code': missing"),
        ("code", True, "row 1, feature 'code': not one of its 3 levels ('1', '2.5', 'x'): True"),
        ("code", float("nan"), "row 1, feature 'code': missing"),
    ],
)
def test_a_cell_that_its_kind_does_not_allow_is_refused(at, cell, message):
    bad = list(ROW)
    bad[MIXED.names.index(at)] = cell
    for form in ([ROW, bad], [dict(zip(MIXED.names, row, strict=True)) for row in (ROW, bad)]):
        with pytest.raises(InputError) as caught:
            encode(form, MIXED, strict=True)
        assert str(caught.value) == message


@pytest.mark.parametrize(
    ("at", "cell", "message"),
    [
        ("load", np.nan, "row 1, feature 'load': not finite: nan"),
        ("code", 3.0, "row 1, feature 'code': not the index of a level: 3.0"),
        ("code", 0.5, "row 1, feature 'code': not the index of a level: 0.5"),
        ("colour", -1.0, "row 1, feature 'colour': not the index of a level: -1.0"),
        ("size", -1.0, "row 1, feature 'size': not above 0: -1.0"),
    ],
)
def test_a_cell_of_an_array_that_its_kind_does_not_allow_is_refused(at, cell, message):
    x = encode([ROW, ROW], MIXED)
    x[1, MIXED.names.index(at)] = cell
    with pytest.raises(InputError) as caught:
        encode(x, MIXED, strict=True)
    assert str(caught.value) == message


@pytest.mark.parametrize("rows", [[[1, 2], [None, float("nan")]], [{"a": 1}, {}], np.array([[1.0, 2], [np.nan] * 2])])
def test_a_row_that_misses_every_cell_is_refused_if_strict(rows):
    with pytest.raises(InputError, match=r"^row 1: every cell is missing$"):
        encode(rows, GAPS, strict=True)
    assert np.isnan(encode(rows, GAPS)[1]).all()


def test_the_error_names_a_column_that_a_mapping_lacks():
    with pytest.raises(InputError, match=r"^row 0, feature 'stops': missing$"):
        encode([{"load": 1, "share": 0.5, "code": "x"}], MIXED)
    with pytest.raises(InputError, match=r"^row 0, feature 'load': missing; 'lode' resembles it$"):
        encode([{**dict(zip(MIXED.names[1:], ROW[1:], strict=True)), "lode": 1}], MIXED)


@pytest.mark.parametrize("name", ["TEMP_F", "temp_f", " temp_F ", "temp-F", "temp F"])
def test_a_column_in_another_spelling_is_refused_and_other_near_names_are_a_remark(name):
    columns = (Column(name="temp_F", kind="real", may_be_missing=True), Column(name="load", kind="real"))
    spec = VectorSpec(columns=columns)
    with pytest.raises(InputError, match=rf"^column '{name}' is 'temp_F' in the model: rename it$"):
        in_column_order([{name: 1.0, "load": 2.0}], spec)
    with pytest.raises(InputError, match=rf"^column '{name}' is 'temp_F' in the model: rename it$"):
        model_order([name, "load"], spec)
    found = model_order(["tempF", "load"], spec)[1]
    assert found.absent == ("temp_F",)
    assert found.warnings[1] == "column 'tempF' is ignored; did you mean 'temp_F'?"
    assert model_order([name, "temp_F", "load"], spec)[1].columns == (name,)


def test_an_absent_column_that_looks_like_a_label_is_said_to_be_one():
    spec = VectorSpec(columns=(Column(name="load", kind="real"), Column(name="label", kind="binary")))
    with pytest.raises(InputError, match=r"'label' looks like a label .* train again with --label label or --exclude"):
        model_order(["load"], spec)
    with pytest.raises(InputError, match=r"the input lacks 1 of the model's columns: 'load'$"):
        model_order(["label"], spec)


def test_an_error_lists_at_most_ten_levels():
    spec = VectorSpec(columns=(Column(name="a", kind="category", levels=tuple(f"l{i}" for i in range(99))),))
    with pytest.raises(InputError, match=r"not one of its 99 levels \('l0', .*'l9', \.\.\.\): 'z'$"):
        encode([["z"]], spec, strict=True)


@pytest.mark.parametrize("spec", [GREY, COLOUR])
def test_images_as_lists_and_as_arrays_give_the_same_array(spec):
    images = np.arange(2 * spec.dim, dtype=np.uint8).reshape(2, *spec.row_shape)
    for form in (images, images.tolist(), images.astype(np.int64), images.astype(float), list(images)):
        got = encode(form, spec)
        assert got.dtype == np.uint8
        np.testing.assert_array_equal(got, images)


def test_images_of_one_channel_may_omit_the_channel_axis():
    np.testing.assert_array_equal(encode(np.zeros((4, 2, 3), np.uint8), GREY), np.zeros((4, 2, 3, 1), np.uint8))
    with pytest.raises(InputError, match="shape"):
        encode(np.zeros((4, 2, 3), np.uint8), COLOUR)


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (np.zeros((1, 3, 2, 1), np.uint8), "inputs: shape (1, 3, 2, 1), expected (N, 2, 3, 1)"),
        (np.zeros((0, 2, 3, 1), np.uint8), "inputs: no rows, expected at least 1"),
        ([], "inputs: shape (0,), expected (N, 2, 3, 1)"),
        ([[[1, 2, 3], [1, 2]]], "inputs: images differ in shape or are ragged, expected (2, 3, 1) each"),
        ([[[1, 2, 3], [1, 2, 256]]], "row 0, pixel (1, 2, 0): not an integer 0..255: 256"),
        ([[[1, 2, 3], [1, 2, -1]]], "row 0, pixel (1, 2, 0): not an integer 0..255: -1"),
        ([[[1, 2, 3], [1, 2, 0.5]]], "row 0, pixel (1, 2, 0): not an integer 0..255: 0.5"),
        ([[[1, 2, 3], [1, float("nan"), 3]]], "row 0, pixel (1, 1, 0): not an integer 0..255: nan"),
        ([[[1, 2, 3], [1, 2, True]]], "inputs: a pixel is a boolean, expected integers 0..255"),
        ([[[1, 2, 3], [1, 2, "3"]]], "inputs: dtype <U21, expected integers 0..255"),
        ([[[1, 2, 3], [1, 2, None]]], "inputs: dtype object, expected integers 0..255"),
    ],
)
def test_invalid_images_are_refused(images, message):
    with pytest.raises(InputError) as caught:
        encode(images, GREY)
    assert str(caught.value) == message


def test_grey_pixels_are_refused_by_a_two_valued_model():
    np.testing.assert_array_equal(encode([[[0, 255]]], TWO_VALUED).ravel(), [0, 255])
    with pytest.raises(InputError, match=r"^row 1, pixel \(0, 1, 0\): not 0 or 255: 7$"):
        encode([[[0, 255]], [[0, 7]]], TWO_VALUED)


def test_only_the_first_thousand_names_are_compared_with_absent_columns():
    names = [f"other {i}" for i in range(1000)]
    assert resembling([*names[:-1], "lode"], ["load"]) == {"lode": "load"}
    assert resembling([*names, "lode"], ["load"]) == {}
