"""Canonical JSON: stored and hashed for ever, so the bytes themselves are pinned."""

from __future__ import annotations

import json
import time
from typing import Any

import dspy
import numpy
import pydantic
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dspex.runtime import canonical as module
from dspex.runtime.canonical import canonical


class Point(pydantic.BaseModel):
    x: int
    y: float = 0.5


class Opaque:
    def __repr__(self) -> str:
        return "<opaque>"


class BadRepr:
    def __repr__(self) -> str:
        raise RuntimeError


LOSSLESS: list[tuple[Any, str]] = [
    (dspy.Prediction(b=1, a="é"), '{"a":"é","b":1}'),
    (dspy.Prediction(x=1e-7, y=1.0, z=-0.0), '{"x":1e-07,"y":1.0,"z":-0.0}'),
    (dspy.Prediction(a=[1, {"z": None, "y": True}], t=(1, 2)), '{"a":[1,{"y":true,"z":null}],"t":[1,2]}'),
    (dspy.Prediction(p=Point(x=1)), '{"p":{"x":1,"y":0.5}}'),
    (dspy.Prediction(inner=dspy.Prediction(a=1)), '{"inner":{"a":1}}'),
    (dspy.Prediction(f=numpy.float64(0.25)), '{"f":0.25}'),
    (dspy.Prediction(big=2**80), '{"big":1208925819614629174706176}'),
    (dspy.Prediction(), "{}"),
    ("text", '"text"'),
    (None, "null"),
]


@pytest.mark.parametrize(("value", "expected"), LOSSLESS)
def test_what_has_a_json_form(value: Any, expected: str) -> None:
    assert canonical(value) == (expected.encode(), None)


LOSSY: list[tuple[Any, str, str]] = [
    (float("nan"), '{"$lossy":"float","repr":"nan"}', '{"$lossy":"float"}'),
    (float("-inf"), '{"$lossy":"float","repr":"-inf"}', '{"$lossy":"float"}'),
    ({1}, '{"$lossy":"set","repr":"{1}"}', '{"$lossy":"set"}'),
    ({1: 2}, '{"$lossy":"dict","repr":"{1: 2}"}', '{"$lossy":"dict"}'),
    (b"x", '{"$lossy":"bytes","repr":"b\'x\'"}', '{"$lossy":"bytes"}'),
    ("\ud800", '{"$lossy":"str","repr":"\'\\\\ud800\'"}', '{"$lossy":"str"}'),
    (Opaque(), '{"$lossy":"test_canonical.Opaque","repr":"<opaque>"}', '{"$lossy":"test_canonical.Opaque"}'),
    (
        BadRepr(),
        '{"$lossy":"test_canonical.BadRepr","repr":"<repr raised RuntimeError>"}',
        '{"$lossy":"test_canonical.BadRepr"}',
    ),
]


@pytest.mark.parametrize(("value", "shown", "digest_form"), LOSSY)
def test_what_has_none_is_shown_and_enters_the_digest_by_its_type(value: Any, shown: str, digest_form: str) -> None:
    assert canonical(dspy.Prediction(a=1, v=value)) == (
        f'{{"a":1,"v":{shown}}}'.encode(),
        f'{{"a":1,"v":{digest_form}}}'.encode(),
    )


def test_a_value_that_holds_itself_ends() -> None:
    loop: list[Any] = []
    loop.append(loop)
    shown, digest_form = canonical(dspy.Prediction(loop=loop))
    assert digest_form is not None
    assert b'{"$lossy":"list"}' in digest_form
    assert len(shown) < 10_000


def test_a_value_on_its_own_path_is_lost_where_it_comes_again() -> None:
    root: dict[str, Any] = {"name": "root"}
    root["children"] = [{"parent": root}]
    lost = '{"$lossy":"dict","repr":"..."}'
    shown, digest_form = canonical(dspy.Prediction(root=root))
    assert shown.decode() == f'{{"root":{{"children":[{{"parent":{lost}}}],"name":"root"}}}}'
    assert digest_form == shown.replace(b',"repr":"..."', b"")

    shared = [1]
    assert canonical(dspy.Prediction(a=shared, b=[shared])) == (b'{"a":[1],"b":[[1]]}', None), "twice is no circle"


def test_a_tree_with_links_to_parents_takes_no_longer_than_its_size() -> None:
    def grow(parent: dict[str, Any] | None, depth: int) -> dict[str, Any]:
        node: dict[str, Any] = {"parent": parent}
        node["children"] = [grow(node, depth - 1) for _ in range(4)] if depth else []
        return node

    started = time.process_time()
    shown, digest_form = canonical(dspy.Prediction(root=grow(None, 6)))
    assert time.process_time() - started < 5
    assert digest_form is not None
    assert shown.count(b"$lossy") == (4**7 - 1) // 3 - 1, "each node's parent but the root's"


def test_values_without_end_are_lost_as_a_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_VALUES", 1000)
    value: list[Any] = []
    for _ in range(60):
        value = [value, value]
    shown, digest_form = canonical(dspy.Prediction(value=value))
    assert digest_form == b'{"$lossy":"dspy.primitives.prediction.Prediction"}'
    assert b"more than 1000 values" in shown
    assert canonical(dspy.Prediction(value=list(range(900))))[1] is None


class Proxy:
    @property
    def __class__(self) -> Any:  # type: ignore[override]
        raise LookupError("not connected")


class Restless(dict[str, Any]):
    def items(self) -> Any:
        raise RuntimeError("dictionary changed size during iteration")


@pytest.mark.parametrize(("kind", "error"), [(Proxy, "LookupError"), (Restless, "RuntimeError")])
def test_a_value_that_cannot_be_read_loses_the_prediction_and_raises_nothing(kind: Any, error: str) -> None:
    shown, digest_form = canonical(dspy.Prediction(value=kind()))
    assert digest_form == b'{"$lossy":"dspy.primitives.prediction.Prediction"}'
    assert error.encode() in shown


def test_a_huge_prediction_still_fits_into_a_frame() -> None:
    shown, digest_form = canonical(dspy.Prediction(text="x" * (module.MAX_BYTES + 1)))
    assert digest_form == b'{"$lossy":"dspy.primitives.prediction.Prediction"}'
    assert len(shown) < 1000


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


@given(st.dictionaries(st.text(), json_values, max_size=5))
def test_json_comes_back_and_the_order_of_keys_does_not_matter(fields: dict[str, Any]) -> None:
    shown, digest_form = canonical(fields)
    assert digest_form is None
    assert json.loads(shown) == fields
    assert canonical(dict(reversed(fields.items()))) == (shown, None)


@given(st.dictionaries(st.text(), st.one_of(st.text(), st.integers(), st.floats(), st.booleans()), max_size=5))
def test_the_fast_path_writes_what_the_slow_path_writes(fields: dict[str, Any]) -> None:
    slow = module._Plain(shown=True)
    assert canonical(fields)[0] == module._encode(slow.convert(fields)).encode()
    assert (canonical(fields)[1] is None) == (not slow.lossy)
