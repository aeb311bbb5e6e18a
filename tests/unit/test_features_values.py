"""What features are made of: ids, numbers in a file's footer, values on their way into columns and out."""

import base64
import json
import zlib

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ellipsis_local.errors import ArgumentError
from ellipsis_local.features.columns import array_of, inferred, json_values, logical_type, new_field, plain
from ellipsis_local.features.ids import (
    KEY,
    NUMBERS,
    feature_id,
    feature_ids,
    numbers_in,
    packed,
    parted,
    stem,
    unpacked,
)  # fmt: skip
from ellipsis_local.features.query import Condition, checked_filter, matching
from ellipsis_local.ids import as_uuid

FILE = "0d1d3f0e-6d5c-4f7e-9d3a-3f0a54e1a001"


def where(position):
    return f"features[{position}]"


@settings(deadline=None)
@given(st.uuids(), st.integers(0, NUMBERS - 1))
def test_an_id_can_be_read_back(file, number):
    made = feature_id(stem(str(file)), number)
    assert as_uuid("featureId", made) == made and parted(made) == (stem(str(file)), number)
    assert made[14] == "8" and made[19] in "89ab"


def test_ids_are_the_same_for_ever():
    assert feature_ids(FILE, [0, 420]) == [
        "81125d07-de4f-857f-8000-000000000000",
        "81125d07-de4f-857f-8000-0000000001a4",
    ]


@settings(deadline=None)
@given(st.uuids(version=4))
def test_other_ids_are_told_apart(one):
    assert parted(str(one)) is None


@settings(deadline=None)
@given(st.sets(st.integers(0, 2**40)))
def test_numbers_in_a_footer(numbers):
    ascending = np.array(sorted(numbers), np.int64)
    assert (unpacked(packed(ascending)) == ascending).all()


def footer(rows, following):
    text = json.dumps({"rows": base64.b64encode(rows).decode(), "next": following})
    return pa.schema([], {KEY: text})


def test_a_footer_is_believed_where_it_fits():
    numbers, following = numbers_in(footer(packed(np.array([1, 5, 6])), 9), 3)
    assert numbers.tolist() == [1, 5, 6] and following == 9
    assert numbers_in(pa.schema([]), 3) == (None, 3)


@pytest.mark.parametrize(
    ("rows", "following"),
    [
        (packed(np.array([1, 5])), 9), (packed(np.array([1, 5, 5])), 9), (packed(np.array([-1, 5, 6])), 9),
        (packed(np.array([1, 5, 6])), 6), (packed(np.array([1, 5, 6])), 2**63), (packed(np.array([1, 5, 6])), None),
        (packed(np.array([1, 5, 6])), float("inf")), (b"x", 9), (zlib.compress(bytes(2**26)), 2**30), (zlib.compress(b"x"), 9),
    ],
)  # fmt: skip
def test_a_footer_that_does_not_fit_says_nothing(rows, following):
    assert numbers_in(footer(rows, following), 3) == (None, 3)


def test_a_footer_that_is_none():
    for text in (b"x", b"[]", b"{}", b'{"rows": 5, "next": 1}', b'{"rows": "?", "next": 1}', b"\xff"):
        assert numbers_in(pa.schema([], {KEY: text}), 3) == (None, 3)


@pytest.mark.parametrize(
    ("kind", "wanted"),
    [
        (pa.string(), "string"), (pa.large_string(), "string"), (pa.dictionary(pa.int8(), pa.string()), "string"),
        (pa.int16(), "integer"), (pa.uint64(), "integer"), (pa.float32(), "float"), (pa.decimal128(9, 2), "float"),
        (pa.bool_(), "boolean"), (pa.timestamp("ns", "UTC"), "datetime"), (pa.date32(), "date"),
        (pa.list_(pa.int64()), "json"), (pa.struct([("a", pa.int64())]), "json"), (pa.binary(), "string"),
        (pa.time64("us"), "string"), (pa.null(), "string"), (pa.dictionary(pa.int8(), pa.int64()), "integer"),
    ],
)  # fmt: skip
def test_types(kind, wanted):
    assert logical_type(pa.field("x", kind)) == wanted


@pytest.mark.parametrize(
    ("values", "wanted"),
    [
        ([], None), ([None], None), ([1, None], "integer"), ([1, 1.5], "float"), ([1.5, 1], "float"), ([True], "boolean"),
        (["a", None], "string"),
    ],
)  # fmt: skip
def test_types_by_values(values, wanted):
    assert inferred("x", values, where) == wanted


@pytest.mark.parametrize("values", [[1, "a"], [True, 1], [1.5, "a"], ["a", False], [1, [2]], [1, {}]])
def test_values_of_several_types(values):
    with pytest.raises(ArgumentError, match=r"'x' of features\[1\]"):
        inferred("x", values, where)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=6,
)
KINDS = [
    pa.string(), pa.dictionary(pa.int32(), pa.string()), pa.int16(), pa.int64(), pa.uint8(), pa.uint64(), pa.float32(),
    pa.float64(), pa.bool_(), pa.timestamp("ms"), pa.timestamp("ns", "Europe/Amsterdam"), pa.date32(), pa.binary(),
    pa.list_(pa.int64()), pa.struct([("a", pa.int64())]), pa.decimal128(9, 2), pa.time64("us"), pa.duration("s"),
]  # fmt: skip


@settings(deadline=None)
@given(st.lists(JSON, max_size=3), st.sampled_from(KINDS))
def test_any_value_fits_or_is_refused(values, kind):
    field = pa.field("x", kind)
    try:
        array = array_of(field, values, where)
    except ArgumentError as error:
        text = str(error)
    else:
        text = "'x' of features["
        out = json_values(field.with_type(array.type), array)
        json.dumps(out, allow_nan=False)
        assert [one is None for one in out] == [one is None for one in values]
    assert "'x'" in text and "features[" in text


@settings(deadline=None)
@given(st.lists(JSON.filter(lambda one: one == one), max_size=3))
def test_json_columns_keep_what_they_got(values):
    field = new_field("x", "json", values)
    assert logical_type(field) == "json"
    try:
        array = array_of(field, values, where)
    except ArgumentError:
        assert "NaN" in json.dumps(values) or "Infinity" in json.dumps(values) or "\\ud" in json.dumps(values)
    else:
        assert json_values(field, array) == values


def test_numbers_get_room():
    field = pa.field("x", pa.int8())
    assert array_of(field, [1, None], where).type == pa.int8()
    assert array_of(field, [1000], where).to_pylist() == [1000]
    assert array_of(pa.field("x", pa.uint64()), [2**64 - 1], where).to_pylist() == [2**64 - 1]
    for value in (2**63, -(2**63) - 1, 1e300):
        with pytest.raises(ArgumentError, match="'x'"):
            array_of(field, [value], where)
    with pytest.raises(ArgumentError, match="'x'"):
        array_of(pa.field("x", pa.uint64()), [-1], where)


def test_plain_values():
    assert plain({"a": [float("nan"), {1: b"\1"}], "b": (1, None)}) == {"a": [None, {"1": "01"}], "b": [1, None]}


def test_conditions_that_hold_together():
    table = pa.table({"n": [1, 2, None, 4], "s": pa.array(["a", "b", "a", None]).dictionary_encode()})
    fields = {field.name: field for field in table.schema}

    def rows(*conditions):
        return np.flatnonzero(matching([Condition(*one) for one in conditions], fields, table)).tolist()

    assert rows() == [0, 1, 2, 3]
    assert rows(("n", ">", 1)) == [1, 3] and rows(("n", "!=", 1)) == [1, 2, 3] and rows(("n", "<=", 1.5)) == [0]
    assert rows(("s", "=", "a"), ("n", "=", None)) == [2]
    assert rows(("other", "=", None)) == [0, 1, 2, 3] and rows(("other", "!=", None)) == []
    assert rows(("other", "=", 1)) == [] and rows(("other", "!=", 1)) == [0, 1, 2, 3] and rows(("other", "<", 1)) == []
    assert checked_filter(None, []) == ()
